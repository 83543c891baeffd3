import { afterEach, expect, test } from 'vitest'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { type FitAsk, learn } from '../../../analyzer/forecast/refit.ts'
import { type Fitting, openFitting } from '../../../analyzer/tick/fitting.ts'

const HOUR_MS = 3_600_000

let fitting: Fitting | null = null
afterEach(() => fitting?.close())

const ask = (seed: number): FitAsk => {
  const values = Array.from({ length: 200 }, (_, hour) => ((hour * seed) % 17) + (hour % 24))
  const atMs = values.length * HOUR_MS
  const history = toHistory(values, 0, HOUR_MS, atMs)
  return { history, atMs, untilMs: atMs + 12 * HOUR_MS, windowMs: 24 * HOUR_MS, goodUntilMs: atMs + HOUR_MS }
}
const seeds = [1, 2, 3, 5, 7]

for (const threads of [0, 1, 3]) {
  test(`with ${threads} threads the same is learnt, in the order that was asked`, async () => {
    fitting = openFitting(threads)
    const expected = seeds.map(seed => learn(ask(seed)))
    expect(await fitting.fit(seeds.map(ask))).toEqual(expected)
    const [some, others] = await Promise.all([fitting.fit(seeds.map(ask)), fitting.fit([ask(9)])])
    expect(some).toEqual(expected)
    expect(others).toEqual([learn(ask(9))])
    expect(await fitting.fit([])).toEqual([])
  })
}
