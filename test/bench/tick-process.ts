/**
 * An analyzer's ticks in a process of its own, so that its memory can be read: `tick-process.ts SUBJECTS`. All of it is
 * what runs, but the store, and that a series is learnt once for all its copies. Prints one line of JSON.
 */
import assert from 'node:assert/strict'
import { createPolicy } from '../../analyzer/policy/policy.ts'
import { type Fitting, openFitting } from '../../analyzer/tick/fitting.ts'
import { WHOLE } from '../../analyzer/tick/shard.ts'
import { createTicker } from '../../analyzer/tick/ticker.ts'
import { testQuota } from '../analyzer/quotas.ts'
import { cpuSeconds, residentMiB } from './machine.ts'
import { storeOf } from './tick-store.ts'
import { kindsOf } from './tick-subjects.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const HOURS = 42 * 24
const WINDOWS_MS = { day: DAY_MS, week: 7 * DAY_MS, month: 30 * DAY_MS }
const LIMIT_PER_DAY = 2_000
/** After so long every forecast is due, also without new calls. */
const DUE_MS = 61_000

export interface TickFigures {
  /** The first tick, which reads all there is, and the third one, in which every forecast is made. */
  firstCpuSeconds: number
  tickCpuSeconds: number
  tickSeconds: number
  forecasts: number
  /** Of the process and its thread, when the third tick has ended, and before the first one began. */
  residentMiB: number
  emptyMiB: number
  /** What is held for subjects, without garbage. */
  stateMiB: number
}

/** Learns each series once, in the thread; its copies get copies of what was learnt. */
function fittingOnce(fitting: Fitting): Fitting {
  const known = new Map<string, Awaited<ReturnType<Fitting['fit']>>[number]>()
  return {
    async fit(asks) {
      const names = asks.map(({ history: { total }, windowMs }) => {
        const parts = Array.from({ length: 8 }, (_, part) => total[Math.floor(((part + 1) * (total.length - 1)) / 8)])
        return [windowMs, ...parts].join()
      })
      for (const [index, ask] of asks.entries()) {
        const name = names[index] ?? ''
        const [state] = known.has(name) ? [] : await fitting.fit([ask])
        if (state) known.set(name, state)
      }
      return asks.map(({ goodUntilMs }, index) => {
        const state = known.get(names[index] ?? '')
        if (!state) throw new Error('it was learnt above')
        return { outlook: { ...state.outlook, values: state.outlook.values.slice() }, untilMs: goodUntilMs }
      })
    },
    close: () => fitting.close(),
  }
}

function aliveMiB(): number {
  assert(gc, 'the process is started with --expose-gc')
  gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return (heapUsed + arrayBuffers) / 2 ** 20
}

const count = Number(process.argv[2])
const endMs = Date.UTC(2026, 9, 15)
let nowMs = endMs
const quotas = Object.entries(WINDOWS_MS).map(([name, ms]) => {
  const anchor = new Date(endMs - ms / 2).toISOString()
  const window = { kind: 'fixed', everySeconds: ms / 1000, anchor }
  return testQuota({ name, limit: (LIMIT_PER_DAY * ms) / DAY_MS, window })
})
const policy = createPolicy(quotas)
const fitting = fittingOnce(openFitting(1))
const ticker = createTicker({
  client: storeOf(count, kindsOf(HOURS), endMs),
  ...{ policy: () => policy, subjectsMax: count * quotas.length, fitting, shard: WHOLE, now: () => nowMs },
})
const emptyMiB = residentMiB(process.pid)
const aliveBeforeMiB = aliveMiB()
const tickCpu = async () => {
  const before = cpuSeconds(process.pid)
  await ticker.tick()
  return cpuSeconds(process.pid) - before
}
const firstCpuSeconds = await tickCpu()
nowMs += DUE_MS
await tickCpu()
nowMs += DUE_MS
const startedAt = performance.now()
const tickCpuSeconds = await tickCpu()
const tickSeconds = (performance.now() - startedAt) / 1000
const figures: TickFigures = {
  ...{ firstCpuSeconds, tickCpuSeconds, tickSeconds, emptyMiB, forecasts: ticker.snapshot().forecastsMade },
  residentMiB: residentMiB(process.pid),
  stateMiB: aliveMiB() - aliveBeforeMiB,
}
process.stdout.write(`${JSON.stringify(figures)}\n`)
await fitting.close()
