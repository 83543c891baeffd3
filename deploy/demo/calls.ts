/**
 * The calls of the demo: of each minute always the same, whoever asks and how often. So what was filled before a crash
 * is filled again without doubling, and the live part goes on where the filled one ends.
 */
import { uniform } from '../../analyzer/forecast/random.ts'
import type { CallRecord, Outcome } from '../../collector/call-record.ts'
import { HABITS, type Habit, momentOf } from './habits.ts'

export const MINUTE_MS = 60_000
/** Seeds of two consumers, and of two minutes, lie far apart. */
const SEEDS = { habit: 0x9e3779b1, minute: 0x85ebca6b }
/** Most calls of a consumer in a minute. */
const CALLS_MAX = 200
/** How often a line of the demo cannot be read. */
const BROKEN_SHARE = 0.0006
/** And once in so many minutes for each consumer that calls then, one after the other, so that there is one on Sundays, too. */
const BROKEN_MINUTES = { every: 360, apart: 37 }
/**
 * What the provider with the short quota says for some minutes of every third hour, until it resets: early in the hour,
 * when the leaked key is not refused yet and calls come to the provider.
 */
const PROVIDER_QUOTA = {
  ...{ requests: 1_000, everyMs: 3 * 3_600_000, resetsAfterMs: 7 * MINUTE_MS },
  ...{ exhaustedMs: 4 * MINUTE_MS, share: 0.4 },
}

/** A call as a gateway of the demo writes it: a record without what Quotacast adds. */
export type DemoCall = Omit<
  CallRecord,
  'callId' | 'arrivedAtMs' | 'dialect' | 'costMicros' | 'totalTokens' | 'method' | 'host'
> & { requestId: string; tenant: string; consumer: string; latencyMs: number }

export interface Planned {
  habit: Habit
  call: DemoCall
  /** What its gateway writes instead, where that cannot be read. */
  broken: unknown
}

/** The calls that start in the minute, in order, for a demo that was first started at `originMs`. */
export function callsOfMinute(minuteMs: number, originMs: number): Planned[] {
  const planned = HABITS.flatMap((habit, index) => {
    const minute = minuteMs / MINUTE_MS
    const random = uniform(Math.imul(index + 1, SEEDS.habit) ^ Math.imul(minute, SEEDS.minute))
    const count = poisson(habit.callsPerMinute(momentOf(minuteMs, originMs)), random)
    const isBroken = (minute - index * BROKEN_MINUTES.apart) % BROKEN_MINUTES.every === 0
    return Array.from({ length: count }, (_, number) =>
      planCall(habit, { minuteMs, originMs, number, random, isBroken: isBroken && number === 0 }),
    )
  })
  return planned.sort((one, other) => one.call.startedAtMs - other.call.startedAtMs)
}

/** Knuth's: how many of so many expected ones. */
function poisson(expected: number, random: () => number): number {
  const floor = Math.exp(-expected)
  let count = 0
  for (let product = random(); product > floor && count < CALLS_MAX; product *= random()) count++
  return count
}

interface Draw {
  minuteMs: number
  originMs: number
  number: number
  random: () => number
  isBroken: boolean
}

function planCall(habit: Habit, draw: Draw): Planned {
  const { minuteMs, originMs, number, random } = draw
  const startedAtMs = minuteMs + Math.floor(random() * MINUTE_MS)
  const { provider, model, providerKey } = modelOf(habit, random())
  const networks = habit.networks(momentOf(minuteMs, originMs))
  const network = networks[Math.floor(random() * networks.length)] ?? ''
  const upstream = upstreamOf(providerKey, startedAtMs, random)
  const outcome = upstream.isExhausted ? 'exhausted' : outcomeOf(random())
  const isAnswered = outcome === 'ok'
  const latencyMs = Math.round((isAnswered ? 1 : 0.2) * habit.latencyMs * spread(random))
  const inputTokens = Math.round(habit.inputTokens * spread(random))
  const outputTokens = isAnswered ? Math.round(habit.outputTokens * spread(random)) : 0
  const { tenant, consumer, gateway, route, team } = habit
  const call: DemoCall = {
    ...{ tenant, consumer, gateway, route, provider, model, providerKey, startedAtMs, outcome, latencyMs },
    requestId: `demo-${consumer}-${minuteMs / MINUTE_MS}-${number}`,
    service: 'demo-models',
    status: STATUSES[outcome],
    upstreamLatencyMs: Math.max(0, latencyMs - 12),
    requestBytes: 4 * inputTokens + 300,
    responseBytes: 4 * outputTokens + 200,
    inputTokens,
    cachedInputTokens: Math.round(0.2 * inputTokens),
    outputTokens,
    upstreamLimits: upstream.limits,
    decisionId: null,
    clientIp: `${network}.${1 + Math.floor(random() * 250)}`,
    labels: { team: `demo-${team}`, demo: 'synthetic' },
  }
  return { habit, call, broken: random() < BROKEN_SHARE || draw.isBroken ? brokenOf(call, random()) : null }
}

const STATUSES: Record<Outcome, number> = {
  ok: 200,
  client_error: 400,
  server_error: 502,
  limited: 429,
  exhausted: 429,
  aborted: 499,
}

function outcomeOf(draw: number): Outcome {
  if (draw < 0.012) return 'server_error'
  if (draw < 0.03) return 'client_error'
  return draw < 0.034 ? 'aborted' : 'ok'
}

/** About 1 on average, rarely beyond three times as much. */
const spread = (random: () => number): number => Math.exp(0.9 * (random() + random() + random() - 1.5)) * 0.9

function modelOf({ models }: Habit, draw: number) {
  let left = draw * models.reduce((sum, { share }) => sum + share, 0)
  for (const model of models) {
    left -= model.share
    if (left < 0) return model
  }
  return { provider: null, model: null, providerKey: null }
}

/** One provider tells its limits in headers, and says at times that its quota is gone. */
function upstreamOf(providerKey: string | null, atMs: number, random: () => number) {
  if (providerKey !== 'demo-cloud-key-1') return { isExhausted: false, limits: null }
  const { requests, everyMs, resetsAfterMs, exhaustedMs, share } = PROVIDER_QUOTA
  const leftMs = everyMs - ((atMs - resetsAfterMs) % everyMs)
  const isGone = leftMs <= exhaustedMs
  const resetAtMs = atMs + leftMs
  const remaining = isGone ? 0 : Math.round((requests * (leftMs - exhaustedMs)) / everyMs)
  return {
    isExhausted: isGone && random() < share,
    limits: {
      units: { requests: { limit: requests, remaining, resetAtMs } },
      retryAfterMs: isGone ? leftMs : null,
    },
  }
}

function brokenOf({ startedAtMs, ...call }: DemoCall, draw: number): unknown {
  if (draw < 0.4) return { ...call, startedAtMs, status: 'two hundred' }
  if (draw < 0.7) return call
  return draw < 0.9 ? { ...call, startedAtMs, latency: '12 ms' } : 'demo: a line of the wrong log'
}
