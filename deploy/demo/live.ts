/**
 * The demo goes on through the doors that everybody uses: its gateways ask the limiter, or hold what a call may cost,
 * and log each call when it has ended.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../config-schema.ts'
import { postJson, RoleError } from '../role-client.ts'
import { callsOfMinute, type DemoCall, MINUTE_MS, type Planned } from './calls.ts'
import { refused, totalTokensOf } from './enforcement.ts'

const TURN_MS = 500
/** Calls that have ended and wait for the collector; beyond that the oldest are given up. */
const WAITING_MAX = 10_000
const RESERVATION_SECONDS = 120
/** What the collector answers when there was nothing that it could read. */
const ALL_REJECTED = 400
/** Of calls that hold a reservation: clients that give up, and gateways that forget to log. */
const RELEASED_SHARE = 0.04
const FORGOTTEN_SHARE = 0.02

export interface LiveDeps {
  config: Config
  originMs: number
  logger: Logger
  now: () => number
  signal: AbortSignal
  /** Called between turns, with the minute of which every call has started. */
  onMinute: (minuteMs: number) => Promise<void>
}

/** What a gateway will log, and when. */
interface Ended {
  atMs: number
  record: unknown
}

/** Makes the calls from `fromMs` on, each at its time, until the signal. A role that is away is waited for. */
export async function goLive(fromMs: number, deps: LiveDeps): Promise<void> {
  const { signal, now, logger } = deps
  let minuteMs = fromMs
  let planned = callsOfMinute(minuteMs, deps.originMs)
  let ended: Ended[] = []
  while (!signal.aborted) {
    for (let next = planned[0]; next && next.call.startedAtMs <= now(); next = planned[0]) {
      planned.shift()
      ended.push(...(await makeCall(next, deps)))
    }
    ended = await logEnded(ended.slice(-WAITING_MAX), deps)
    if (now() >= minuteMs + MINUTE_MS) {
      minuteMs += MINUTE_MS
      planned = callsOfMinute(minuteMs, deps.originMs)
      await tolerate(logger, () => deps.onMinute(minuteMs))
    }
    await sleep(TURN_MS, undefined, { signal }).catch(() => undefined)
  }
}

/** Asks as the call's gateway does; answers what it will log. */
async function makeCall({ habit, call, broken }: Planned, deps: LiveDeps): Promise<Ended[]> {
  const atMs = call.startedAtMs + call.latencyMs
  if (broken !== null) return [{ atMs, record: broken }]
  switch (habit.asks) {
    case 'never':
      return [{ atMs, record: call }]
    case 'check':
      return [{ atMs, record: await checked(call, deps) }]
    case 'reservation':
      return (await reserved(call, deps)).map(record => ({ atMs, record }))
  }
}

async function checked(call: DemoCall, { config, logger }: LiveDeps): Promise<DemoCall> {
  const body = { ...whoAndWhat(call), cost: { requests: 1, total_tokens: totalTokensOf(call) } }
  const answer = await tolerate(logger, () => postJson('limiter', '/v1/check', config, body))
  const decision = answer as { allowed: boolean; decisionId: string | null } | null
  if (decision?.allowed === false) return refused(call)
  return { ...call, decisionId: decision?.decisionId ?? null }
}

/** The cost is estimated by the limiter, and settled by the record of the call. */
async function reserved(call: DemoCall, { config, logger }: LiveDeps): Promise<DemoCall[]> {
  const body = { ...whoAndWhat(call), ttlSeconds: RESERVATION_SECONDS }
  const answer = await tolerate(logger, () => postJson('limiter', '/v1/reservations', config, body))
  const held = answer as { allowed: boolean; id: string | null } | null
  if (held?.allowed === false) return [refused(call)]
  const id = held?.id ?? null
  const fate = call.latencyMs % 100
  if (id !== null && fate < 100 * RELEASED_SHARE) {
    await tolerate(logger, () => postJson('limiter', '/v1/reservations/release', config, { id }))
    return []
  }
  return fate < 100 * (RELEASED_SHARE + FORGOTTEN_SHARE) ? [] : [{ ...call, decisionId: id }]
}

const whoAndWhat = ({ tenant, consumer, gateway, route, provider, model, requestId, labels }: DemoCall) => ({
  tenant,
  consumer,
  requestId,
  dimensions: { gateway, route, provider, model, team: labels.team },
})

/** Sends what has ended; answers what has not, or could not be sent. */
async function logEnded(ended: readonly Ended[], { config, logger, now }: LiveDeps): Promise<Ended[]> {
  const nowMs = now()
  const due = ended.filter(({ atMs }) => atMs <= nowMs)
  const later = ended.filter(({ atMs }) => atMs > nowMs)
  if (due.length === 0) return later
  const records = due.map(({ record }) => record)
  try {
    await postJson('collector', '/v1/calls', config, records)
  } catch (error) {
    // All of them were rejected, as is meant.
    if (error instanceof RoleError && error.status === ALL_REJECTED) return later
    noteAway(logger, error)
    return [...due, ...later]
  }
  return later
}

/** What the role answered, or `null` when it is away: the supervisor starts it again. */
async function tolerate<T>(logger: Logger, ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask()
  } catch (error) {
    noteAway(logger, error)
    return null
  }
}

/** Throws what is no role that is away. */
function noteAway(logger: Logger, error: unknown): void {
  if (!(error instanceof RoleError)) throw error
  logger.warn({ reason: error.message }, 'the demo waits for a role')
}
