/**
 * What forecasting costs as subjects grow: a fit with six weeks of hours, an update, and complete ticks of an analyzer
 * that follows many subjects with three quotas each. The store is made up: what it would take is not in it.
 */
import { execFile } from 'node:child_process'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { CALIBRATOR } from '../../analyzer/forecast/calibrator.ts'
import { type ForecastAsk, fitForecast, forecast } from '../../analyzer/forecast/forecaster.ts'
import { type History, toHistory } from '../../analyzer/forecast/history.ts'
import { type FitAsk, fitDue } from '../../analyzer/forecast/refit.ts'
import { openFitting } from '../../analyzer/tick/fitting.ts'
import { boundsOf } from '../../deploy/process-bounds.ts'
import { fixed, printTable, thousands } from './table.ts'
import type { TickFigures } from './tick-process.ts'
import { kindsOf } from './tick-subjects.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const HOURS = 42 * 24
const WINDOWS_MS = [DAY_MS, 7 * DAY_MS, 30 * DAY_MS] as const
const SUBJECTS = [1_000, 10_000, 100_000] as const
/** Series that are learnt at once, as a tick does, and with which a thread is made warm. */
const STALL_BATCH = 64
const STALL_WARM = 20
/** Of each series, after half as many, from which the compiler learns: as in an analyzer that has run for some minutes. */
const FITS = 4
const UPDATES = 200

const NOW_MS = HOURS * HOUR_MS

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

/** Milliseconds of CPU that `work` takes, per one of `count`, when it is done again and again. */
function warmCpuMs(rounds: number, count: number, work: () => void): number {
  for (let round = 0; round < rounds / 2; round++) work()
  const before = process.cpuUsage()
  for (let round = 0; round < rounds; round++) work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000 / rounds / count
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

/** Ticks with so many subjects, in a process of their own. */
async function ticksOf(subjects: number): Promise<TickFigures> {
  const script = fileURLToPath(new URL('tick-process.ts', import.meta.url))
  const { execArgv, env } = boundsOf(['serve', 'analyzer'])
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...execArgv, '--expose-gc', script, String(subjects)],
    { env },
  )
  return JSON.parse(stdout) as TickFigures
}

export async function benchTick(): Promise<void> {
  const histories = kindsOf(HOURS).map(hours => toHistory(hours, 0, HOUR_MS, NOW_MS))
  const asks = histories.flatMap(history => WINDOWS_MS.map(windowMs => askOf(history, windowMs)))
  const outlooks = asks.map(fitForecast)
  const fitMs = warmCpuMs(FITS, asks.length, () => void asks.map(fitForecast))
  const forecastMs = warmCpuMs(UPDATES, asks.length, () => {
    for (const [index, ask] of asks.entries()) {
      const outlook = outlooks[index]
      if (outlook) forecast(ask, outlook, CALIBRATOR)
    }
  })
  process.stdout.write(
    `A fit with six weeks of hours takes ${fixed(fitMs, 2)} ms of CPU, a forecast from it ${fixed(1000 * forecastMs, 1)} µs\n\n` +
      'An analyzer with three quotas (day, week, month) for each subject; the store is made up\n\n',
  )
  const rows: string[][] = []
  for (const subjects of SUBJECTS) {
    const { tickCpuSeconds, tickSeconds, forecasts, firstCpuSeconds, residentMiB, emptyMiB, stateMiB } =
      await ticksOf(subjects)
    rows.push([
      thousands(subjects),
      fixed(tickCpuSeconds, 2),
      fixed(tickSeconds, 2),
      fixed((1e6 * tickCpuSeconds) / forecasts, 1),
      fixed((fitMs * forecasts) / 1000, 0),
      fixed(firstCpuSeconds, 0),
      thousands(residentMiB),
      fixed(((residentMiB - emptyMiB) * 1024) / subjects, 1),
      fixed((stateMiB * 1024) / subjects, 1),
    ])
  }
  printTable(
    [
      'subjects',
      'tick, CPU s',
      'tick, s',
      'a forecast, µs',
      'fits in an hour, CPU s',
      'first tick, CPU s',
      'resident MiB',
      'kB a subject',
      'without garbage, kB',
    ],
    rows,
  )
  const fits = histories.flatMap(history =>
    WINDOWS_MS.flatMap(windowMs => fitDue(askOf(history, windowMs), null, 0.5) ?? []),
  )
  const stalls = [await stallOf(0, fits), await stallOf(1, fits)]
  process.stdout.write(`The event loop while ${fits.length} series are learnt, ${STALL_BATCH} at a time\n\n`)
  printTable(['threads', 'took, s', 'delay p50, ms', 'p99, ms', 'most, ms'], stalls)
}
