/**
 * Forecasts of sliding windows of a day on the public series beside the repository: was the limit, near the highest use of
 * the week before, reached within the next day? Beside the burn rate, extended while what is used expires, and the base rate.
 */
import { existsSync } from 'node:fs'
import { totalBetween } from '../../analyzer/forecast/history.ts'
import type { PassingAsk } from '../../analyzer/forecast/passing.ts'
import { uniform } from '../../analyzer/forecast/random.ts'
import { passingNext } from '../../analyzer/forecast/refit.ts'
import { readSeries, type Series, seedOf } from '../train/questions.ts'
import { fixed, printTable, thousands } from './table.ts'

const DATA = new URL('../../../shared/data/forecast/', import.meta.url).pathname
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SLOT_MS = DAY_MS / 32
const KNOWN_DAYS = 8
const QUESTIONS = 4
const LIMIT_SPREAD = 0.3
const LIMIT_MIN = 20
const RATE_MS = DAY_MS / 12

interface Scored {
  said: number
  burn: number
  happened: number
  isCovered: boolean
}

/** One question at an instant of the series; `null` where it makes no sense. */
function ask({ history }: Series, nowMs: number, gauss: number): Scored | null {
  const steps = Math.round((nowMs - history.startMs) / history.stepMs)
  const known = { ...history, endMs: nowMs, total: history.total.subarray(0, steps + 1) }
  const countsFrom = (atMs: number) => Math.floor((atMs - DAY_MS) / SLOT_MS) * SLOT_MS
  const usedAt = (atMs: number) => totalBetween(history, countsFrom(atMs), atMs)
  const past = Array.from({ length: 56 }, (_, index) => usedAt(nowMs - (1 + 3 * index) * HOUR_MS))
  const limit = Math.round(Math.max(...past) * Math.exp(LIMIT_SPREAD * gauss))
  const used = usedAt(nowMs)
  if (limit <= used || limit < LIMIT_MIN) return null
  const counts = (atMs: number) => totalBetween(known, countsFrom(atMs), nowMs)
  const limits = [{ fromMs: nowMs, limit }]
  const asked: PassingAsk = { history: known, nowMs, lengthMs: DAY_MS, used, limits, rule: { kind: 'sliding', counts } }
  const { probability, usageAtReset } = passingNext(asked, null, 0).forecast
  if (probability === null || !usageAtReset) return null
  const rate = totalBetween(known, nowMs - RATE_MS, nowMs) / RATE_MS
  const ahead = Array.from(
    { length: Math.floor(DAY_MS / history.stepMs) },
    (_, step) => nowMs + (step + 1) * history.stepMs,
  )
  const end = totalBetween(history, nowMs, nowMs + DAY_MS)
  return {
    said: probability,
    burn: Number(ahead.some(atMs => counts(atMs) + rate * (atMs - nowMs) >= limit)),
    happened: Number(ahead.some(atMs => usedAt(atMs) >= limit)),
    isCovered: end >= usageAtReset.p10 && end <= usageAtReset.p90,
  }
}

function questionsOf(series: Series): Scored[] {
  const { startMs, stepMs, endMs } = series.history
  const random = uniform(seedOf(`${series.id} sliding`))
  const firstMs = startMs + KNOWN_DAYS * DAY_MS
  const steps = Math.floor((endMs - DAY_MS - firstMs) / stepMs)
  if (steps < (KNOWN_DAYS * HOUR_MS) / stepMs) return []
  return Array.from({ length: QUESTIONS }, () => {
    const nowMs = firstMs + Math.floor(random() * steps) * stepMs
    return ask(series, nowMs, Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()))
  }).filter(one => one !== null)
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

export function benchSliding(): void {
  if (!existsSync(DATA)) {
    process.stdout.write('The public series are not beside the repository: sliding windows are not scored.\n\n')
    return
  }
  const bySet = Map.groupBy(readSeries(DATA), ({ set }) => set)
  const scored = Array.from(bySet, ([set, series]) => [set, series.flatMap(questionsOf)] as const)
  const all = ['all', scored.flatMap(([, some]) => some)] as const
  const rows = [...scored, all]
    .filter(([, some]) => some.length > 0)
    .map(([set, some]) => {
      const base = mean(some.map(({ happened }) => happened))
      const brier = (saidBy: (one: Scored) => number) =>
        fixed(mean(some.map(one => (saidBy(one) - one.happened) ** 2)), 4)
      const covered = fixed(mean(some.map(({ isCovered }) => Number(isCovered))), 2)
      return [
        set,
        thousands(some.length),
        fixed(base, 3),
        brier(one => one.said),
        brier(() => base),
        brier(one => one.burn),
        covered,
      ]
    })
  process.stdout.write('Sliding windows of a day: Brier score of "the limit is reached within a day"\n\n')
  printTable(['series', 'questions', 'happened', 'forecast', 'base rate', 'burn rate', 'in the 80 % band'], rows)
}
