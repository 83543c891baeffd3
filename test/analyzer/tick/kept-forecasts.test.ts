import { expect, test } from 'vitest'
import { createKeptMarks, type Kept, markOf } from '../../../analyzer/tick/kept-forecasts.ts'
import type { SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'

const WINDOW_MS = 12_000

const at = (asOfMs: number, probability: number | null, windowStartMs = 0): SubjectForecast => ({
  quota: 'quota',
  subject: {},
  tenant: null,
  consumer: null,
  unit: 'requests',
  limit: 1,
  limitChanges: [],
  upstream: null,
  used: 0,
  windowStartMs,
  windowEndMs: windowStartMs + WINDOW_MS,
  asOfMs,
  probability,
  exhaustionAtMs: { p10: null, p50: null, p90: null },
  usageAtReset: null,
  headroom: null,
  burnRate: null,
  confidence: 'normal',
  why: '',
  crossing: null,
  isStored: false,
})

/** Marks of a series of forecasts. */
function marks(forecasts: readonly SubjectForecast[], threshold = 0.7): string[] {
  let kept: Kept | undefined
  return forecasts.flatMap(forecast => {
    const marked = markOf(forecast, threshold, kept)
    kept = marked?.kept ?? kept
    return marked ? [marked.mark] : []
  })
}

test('each twelfth is kept once', () => {
  const forecasts = Array.from({ length: 120 }, (_, index) => at(index * 100, 0.1))
  expect(marks(forecasts)).toEqual(Array.from({ length: 12 }, (_, index) => `${index}/12`))
})

test('a probability that dangles about the threshold crosses it once', () => {
  expect(marks([at(0, 0.1), at(1, 0.72), at(2, 0.68), at(3, 0.71), at(4, 0.3), at(5, 0.6)])).toEqual([
    '0/12',
    'above threshold',
    'below threshold',
  ])
})

const reached = (asOfMs: number): SubjectForecast => ({ ...at(asOfMs, 1), exhaustionAtMs: { p10: 0, p50: 0, p90: 0 } })

test('the limit is kept when it is reached, and when it is no more', () => {
  expect(marks([at(0, 0.9), at(1, 0.9), reached(2), reached(3), at(4, 0.6), reached(5), at(6, 0.1)])).toEqual([
    ...['above threshold', '0/12', 'limit reached', 'above threshold', 'limit reached', 'below threshold'],
  ])
})

test('never more than 24 a window, however wild it goes', () => {
  const wild = Array.from({ length: 12_000 }, (_, ms) => at(ms, ms % 2))
  expect(marks(wild)).toHaveLength(24)
  expect(marks([...wild, at(WINDOW_MS, 0.1, WINDOW_MS)])).toHaveLength(25)
})

test('what cannot be scored is not kept', () => {
  expect(marks([at(0, null)])).toEqual([])
  // But that a grant or a reset has ended what an alert rings for.
  expect(marks([reached(0), at(1, null), at(2_000, null)])).toEqual(['limit reached', 'below threshold'])
  expect(marks([at(0, 0.9), at(1, null), at(2_000, null)])).toEqual(['above threshold', 'below threshold'])
})

test('marks are those that were set, of whatever quota and subject, and go with their windows when there are many', () => {
  const kept = createKeptMarks()
  const quotas = ['one', 'other']
  const endMs = (quota: string, subject: number) => (quota === 'one' && subject % 2 === 0 ? 1_000 : 2_000)
  const markOf = (quota: string, subject: number): Kept => {
    return { windowStartMs: subject, windowEndMs: endMs(quota, subject), fraction: -1, crossings: 300, level: 2 }
  }
  const subjects = Array.from({ length: 600 }, (_, subject) => subject)
  const all = quotas.flatMap(quota => subjects.map(subject => ({ quota, subject, key: `subject-${subject}` })))
  const put = () => {
    for (const { quota, subject, key } of all) kept.set(quota, key, markOf(quota, subject))
  }
  const found = () => all.map(({ quota, key }) => kept.of(quota, key))
  put()
  kept.set('one', 'subject-7', { ...markOf('one', 7), fraction: 11 })
  kept.set('one', 'subject-7', markOf('one', 7))
  const set = all.map(({ quota, subject }) => markOf(quota, subject))
  expect(found()).toEqual(set)
  kept.forgetEnded(1_000, all.length)
  expect(found()).toEqual(set)
  kept.forgetEnded(1_000, all.length - 1)
  expect(found()).toEqual(set.map(one => (one.windowEndMs > 1_000 ? one : undefined)))
  put()
  expect(found()).toEqual(set)
  kept.forgetEnded(2_000, 0)
  expect(found()).toEqual(all.map(() => undefined))
})
