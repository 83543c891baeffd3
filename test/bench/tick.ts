/**
 * What forecasting costs as subjects grow: a fit with six weeks of hours, an update, and a complete tick of many subjects
 * with three quotas each. Reading the store is not in it.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { CALIBRATOR } from '../../analyzer/forecast/calibrator.ts'
import { type ForecastAsk, fitForecast, forecast } from '../../analyzer/forecast/forecaster.ts'
import { type History, toHistory } from '../../analyzer/forecast/history.ts'
import type { Outlook } from '../../analyzer/forecast/outlook.ts'
import { uniform } from '../../analyzer/forecast/random.ts'
import { type FitAsk, fitDue } from '../../analyzer/forecast/refit.ts'
import { openFitting } from '../../analyzer/tick/fitting.ts'
import { residentMiB } from './machine.ts'
import { fixed, printTable, thousands } from './table.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const HOURS = 42 * 24
const WINDOWS_MS = [DAY_MS, 7 * DAY_MS, 30 * DAY_MS] as const
const SUBJECTS = [1_000, 10_000, 100_000] as const
/** Series that are learnt at once, as a tick does, and with which a thread is made warm. */
const STALL_BATCH = 64
const STALL_WARM = 20
/** Different series; more subjects are copies of these, with memory of their own. */
const KINDS = 100

/** Hours of one subject: a season of days and weeks, bursts, idle days. */
function hoursOf(seed: number): Float32Array {
  const random = uniform(seed)
  const level = Math.exp(6 * random())
  const idle = 0.4 * random()
  const burst = 2 * random()
  let isIdle = false
  return Float32Array.from({ length: HOURS }, (_, hour) => {
    if (hour % 24 === 0) isIdle = random() < idle
    const season = 1 + Math.sin((hour * 2 * Math.PI) / 24) * (hour % 168 < 120 ? 0.8 : 0.3)
    return isIdle ? 0 : Math.round(level * season * Math.exp(burst * (random() - 0.5)))
  })
}

/** What is kept of a subject. */
interface Subject {
  hours: Float32Array
  outlooks: Outlook[]
}

const NOW_MS = HOURS * HOUR_MS
const historyOf = (hours: Float32Array): History => toHistory(hours, 0, HOUR_MS, NOW_MS)

/** Half-way through each window, with a limit that half of the past windows would reach. */
function askOf(history: History, windowMs: number): ForecastAsk {
  const windowStartMs = NOW_MS - windowMs / 2
  const used = (history.total.at(-1) ?? 0) - (history.total[Math.round(windowStartMs / HOUR_MS)] ?? 0)
  const limit = Math.max(20, Math.round(((history.total.at(-1) ?? 0) * windowMs) / NOW_MS))
  return {
    history,
    nowMs: NOW_MS,
    windowStartMs,
    windowEndMs: windowStartMs + windowMs,
    used: Math.min(used, limit - 1),
    limit,
  }
}

const bytesOf = ({ hours, outlooks }: Subject): number =>
  outlooks.reduce((sum, { values }) => sum + values.byteLength, hours.byteLength)

/** Milliseconds of CPU that `work` takes, per one of `count`. */
function cpuMs(count: number, work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000 / count
}

/** The totals of one subject after the other are written into the same space, as the analyzer does. */
function tick(subjects: readonly Subject[]): void {
  const total = new Float64Array(HOURS + 1)
  const history: History = { startMs: 0, stepMs: HOUR_MS, endMs: NOW_MS, total }
  for (const { hours, outlooks } of subjects) {
    for (let hour = 0; hour < HOURS; hour++) total[hour + 1] = (total[hour] ?? 0) + (hours[hour] ?? 0)
    WINDOWS_MS.forEach((windowMs, quota) => {
      const outlook = outlooks[quota]
      if (outlook) forecast(askOf(history, windowMs), outlook, CALIBRATOR)
    })
  }
}

/** How long the event loop stands still while so many series are learnt, as whoever asks the API meanwhile notices. */
async function stallOf(threads: number, asks: readonly FitAsk[]): Promise<string[]> {
  const fitting = openFitting(threads)
  const copies = () => asks.map(ask => ({ ...ask, history: { ...ask.history, total: ask.history.total.slice() } }))
  // A thread compiles what it runs, too.
  await fitting.fit(copies().slice(0, 2 * Math.max(1, threads) * STALL_WARM))
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const before = performance.now()
  for (let first = 0; first < asks.length; first += STALL_BATCH) {
    await fitting.fit(copies().slice(first, first + STALL_BATCH))
  }
  const tookMs = performance.now() - before
  delay.disable()
  await fitting.close()
  const ms = (nanoseconds: number) => fixed(nanoseconds / 1e6, 1)
  return [String(threads), fixed(tookMs / 1000, 2), ms(delay.percentile(50)), ms(delay.percentile(99)), ms(delay.max)]
}

export async function benchTick(): Promise<void> {
  const kinds = Array.from({ length: KINDS }, (_, seed) => hoursOf(seed))
  const histories = kinds.map(historyOf)
  const fitAll = () =>
    kinds.map((hours, kind): Subject => {
      const history = histories[kind] ?? historyOf(hours)
      return { hours, outlooks: WINDOWS_MS.map(windowMs => fitForecast(askOf(history, windowMs))) }
    })
  // The first round is what the compiler learns from.
  const subjects = fitAll()
  const fitMs = cpuMs(KINDS * WINDOWS_MS.length, fitAll)
  const rows = SUBJECTS.map(count => {
    const many = Array.from({ length: count }, (_, index) => structuredClone(subjects[index % KINDS]) as Subject)
    tick(many.slice(0, KINDS))
    const perForecast = cpuMs(count * WINDOWS_MS.length, () => tick(many))
    const bytes = many.reduce((sum, subject) => sum + bytesOf(subject), 0) / count
    return [
      thousands(count),
      fixed((perForecast * count * WINDOWS_MS.length) / 1000, 2),
      fixed(perForecast * 1000, 1),
      fixed((fitMs * count * WINDOWS_MS.length) / 1000, 0),
      fixed(bytes / 1024, 1),
      thousands(residentMiB(process.pid)),
    ]
  })
  process.stdout.write(
    `Forecasts of subjects with three quotas each (day, week, month), one core; a fit with six weeks of hours takes ${fixed(fitMs, 2)} ms\n\n`,
  )
  const asks = histories.flatMap(history =>
    WINDOWS_MS.flatMap(windowMs => fitDue(askOf(history, windowMs), null, 0.5) ?? []),
  )
  const stalls = [await stallOf(0, asks), await stallOf(1, asks)]
  printTable(['subjects', 'tick, CPU s', 'update, µs', 'fits in an hour, CPU s', 'kB a subject', 'resident MiB'], rows)
  process.stdout.write(`\nThe event loop while ${asks.length} series are learnt, ${STALL_BATCH} at a time\n\n`)
  printTable(['threads', 'took, s', 'delay p50, ms', 'p99, ms', 'most, ms'], stalls)
}
