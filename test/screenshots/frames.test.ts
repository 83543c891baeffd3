import { expect, test } from 'vitest'
import { configOf, type PanelJson } from './board-json.ts'
import { type Answer, joinCharts, stack, toChart } from './frames.ts'
import { formatValue } from './units.ts'

const counts: Answer = {
  columns: [
    { name: 'time', kind: 'time' },
    { name: 'outcome', kind: 'text' },
    { name: 'Value', kind: 'number' },
  ],
  rows: [
    [1, 'ok', 3],
    [1, 'limited', 1],
    [2, 'limited', 4],
  ],
}

test('rows with names become a series each, named by the label where the number has none of its own', () => {
  expect(toChart(counts)).toEqual({
    times: [1, 2],
    series: [
      { name: 'ok', values: [3, null] },
      { name: 'limited', values: [1, 4] },
    ],
  })
  const named = { ...counts, columns: counts.columns.with(2, { name: 'calls', kind: 'number' }) }
  expect(toChart(named).series.map(({ name }) => name)).toEqual(['calls ok', 'calls limited'])
})

test('answers of one panel share their times', () => {
  const later: Answer = { ...counts, rows: [[3, 'ok', 5]] }
  expect(joinCharts([toChart(counts), toChart(later)])).toMatchObject({
    times: [1, 2, 3],
    series: [{ values: [3, null, null] }, { values: [1, 4, null] }, { values: [null, null, 5] }],
  })
})

test('what is stacked stands on what is there', () => {
  expect(stack(toChart(counts).series)).toMatchObject([
    { values: [3, null], floors: [0, 0] },
    { values: [4, 4], floors: [3, 0] },
  ])
})

test('a field is drawn as its overrides say, the last of them first', () => {
  const panel: PanelJson = {
    ...{ type: 'table', title: '', gridPos: { x: 0, y: 0, w: 1, h: 1 } },
    fieldConfig: {
      defaults: { unit: 'short', noValue: 'nothing' },
      overrides: [
        { matcher: { id: 'byRegexp', options: '.*' }, properties: [{ id: 'noValue', value: '–' }] },
        { matcher: { id: 'byName', options: 'share' }, properties: [{ id: 'unit', value: 'percentunit' }] },
        { matcher: { id: 'byName', options: 'share' }, properties: [{ id: 'custom.width', value: 90 }] },
      ],
    },
  }
  expect(configOf(panel, 'share')).toMatchObject({ unit: 'percentunit', noValue: '–', custom: { width: 90 } })
  expect(configOf(panel, 'calls')).toEqual({ unit: 'short', noValue: '–', custom: {} })
})

test.each([
  [1_234, { unit: 'short' }, '1.23 K'],
  [0.0345, { unit: 'percentunit' }, '3.45%'],
  [1.5, { unit: 's' }, '1.50 s'],
  [90_000, { unit: 'ms' }, '1.50 mins'],
  [0.25, { unit: 'reqps' }, '0.250 req/s'],
  [7_200_000, { unit: 'dateTimeFromNow' }, 'in 2 hours'],
  [-60_000, { unit: 'dateTimeFromNow' }, 'a minute ago'],
  [3, { decimals: 2 }, '3.00'],
])('%d in %j is %s', (value, config, text) => {
  expect(formatValue(value, config, 0)).toBe(text)
})
