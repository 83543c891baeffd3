import { expect, test } from 'vitest'
import { expand, rangeOf, secondsOf } from './expand.ts'

const expansion = {
  fromMs: 1_000_000,
  toMs: 2_000_000,
  stepSeconds: 60,
  variables: { tenant: 'all', model: ["a'b", 'c'], subject: ['7'] },
} as const

test('macros and variables become what the plugin makes of them', () => {
  expect(expand('$__timeFilter(minute)', expansion)).toBe('minute >= toDateTime(1000) AND minute <= toDateTime(2000)')
  expect(expand('$__timeInterval(hour)', expansion)).toBe('toStartOfInterval(toDateTime(hour), INTERVAL 60 second)')
  expect(expand('$__conditionalAll(tenant IN (${tenant:sqlstring}), $tenant) AND x', expansion)).toBe('1=1 AND x')
  expect(expand('$__conditionalAll(model IN (${model:sqlstring}), $model)', expansion)).toBe("model IN ('a''b','c')")
  expect(expand('${subject}', expansion)).toBe('7')
  expect(() => expand('$__unknown(x)', expansion)).toThrow('not expanded')
  expect(() => expand('${other}', expansion)).toThrow('no value')
})

test('times are read as Grafana writes them', () => {
  expect(secondsOf('2h')).toBe(7_200)
  expect(rangeOf({ from: 'now-1m', to: 'now+1s' }, 100_000)).toEqual({ fromMs: 40_000, toMs: 101_000 })
  expect(rangeOf({ from: 'now-1s', to: 'now' }, 5_000)).toEqual({ fromMs: 4_000, toMs: 5_000 })
  const december = { fromMs: Date.UTC(2026, 11), toMs: Date.UTC(2027, 0) }
  expect(rangeOf({ from: 'now/M', to: 'now/M' }, Date.UTC(2026, 11, 31, 23))).toEqual(december)
})
