import { expect, test } from 'vitest'
import { sparkline } from '../../deploy/sparkline.ts'

const window = { windowStartMs: 0, windowEndMs: 24, limit: 24 }

test('bars are shares of the limit, before now and after', () => {
  const history = [
    [0, 0],
    [12, 12],
  ]
  const line = sparkline({ ...window, history, bands: [{ atMs: 24, p50: 36 }] })
  expect(line).toHaveLength(25)
  expect(line.indexOf('│')).toBe(12)
  expect(line.slice(0, 12)).toBe('▁▁▁▂▂▂▃▃▃▃▄▄')
  // Twice the pace: the limit is reached half-way through what is left.
  expect(line.slice(13)).toBe('▅▅▆▆▇███████')
})

test('without a forecast the rest is empty, and an ended window has now at its end', () => {
  expect(
    sparkline({
      ...window,
      history: [
        [0, 0],
        [12, 0],
      ],
      bands: [],
    }),
  ).toBe(`${'▁'.repeat(12)}│${' '.repeat(12)}`)
  expect(
    sparkline({
      ...window,
      history: [
        [0, 0],
        [24, 0],
      ],
      bands: [],
    }),
  ).toBe(`${'▁'.repeat(24)}│`)
})

test('a limit of 0 is always reached', () => {
  expect(
    sparkline({
      ...window,
      limit: 0,
      history: [
        [0, 0],
        [24, 0],
      ],
      bands: [],
    }),
  ).toBe(`${'█'.repeat(24)}│`)
})
