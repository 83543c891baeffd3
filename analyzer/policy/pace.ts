/**
 * Paces: a temporary rate beside a quota that would run out before its reset, so that what is left lasts. The rate itself
 * is a quota of its own kind, so it is counted, settled, answered and explained like any other.
 */
import { paceWindow } from '../usage/window.ts'
import type { Quota } from './quota.ts'

/** A pace ends when the probability has sunk below this share of what it begins at. */
const CLEARED_SHARE = 0.5
/** A rate that is off by less than this factor is left as it is. */
const STEADY_FACTOR = 1.25

const companions = new WeakMap<Quota, Quota>()

/** What the rate beside a quota is called: no quota that was configured can be. */
export const paceName = (quota: string): string => `${quota}:pace`

/** The rate beside the quota; `null` unless it is enforced by pace. One that is set for no subject has no limit. */
export function paceQuotaOf(quota: Quota): Quota | null {
  if (quota.enforcement !== 'pace') return null
  const known = companions.get(quota)
  if (known) return known
  const made: Quota = {
    ...quota,
    name: paceName(quota.name),
    series: `${quota.series}|pace`,
    limit: null,
    window: paceWindow(quota.window),
    enforcement: 'deny',
    paceOf: quota,
  }
  companions.set(quota, made)
  return made
}

/** What is known of a subject when its pace is judged. */
export interface PaceAsk {
  probability: number | null
  used: number
  limit: number
  nowMs: number
  windowStartMs: number
  windowEndMs: number
  /** When the limit would be reached, as likely as not. */
  exhaustionAtMs: number | null
  /** Units a period of the pace that holds, if any. */
  pace: number | null
}

/** Sets a rate of `amount` units a period, or lifts it (`null`); `reason` is for the audit. */
export interface PaceChange {
  amount: number | null
  reason: string
}

/** Whether the subject's pace has to change; `null` when it stays as it is. */
export function paceChange(quota: Quota, ask: PaceAsk): PaceChange | null {
  const { probability, used, limit, nowMs, windowStartMs, windowEndMs, pace } = ask
  // What is used up needs no rate: the quota itself denies.
  if (probability === null || used >= limit) return null
  const { probability: threshold, floorShare } = quota.options.pace
  const percent = Math.round(100 * probability)
  if (probability < (pace === null ? threshold : CLEARED_SHARE * threshold)) {
    const reason = `The limit will be reached with ${percent} % only: no rate is needed any more.`
    return pace === null ? null : { amount: null, reason }
  }
  const window = paceWindow(quota.window)
  const floor = (floorShare * limit * window.periodMs) / (windowEndMs - windowStartMs)
  const lasting = ((limit - used) * window.periodMs) / (windowEndMs - nowMs)
  const amount = Math.max(1, Math.floor(Math.max(floor, lasting)))
  if (pace !== null && amount < pace * STEADY_FACTOR && amount > pace / STEADY_FACTOR) return null
  const { exhaustionAtMs } = ask
  const when = exhaustionAtMs === null ? '' : ` (as likely as not by ${new Date(exhaustionAtMs).toISOString()})`
  const rate = `${amount} ${quota.unit} per ${Math.round(window.periodMs / 1000)} s`
  const how = pace === null ? 'Slowed down' : amount > pace ? 'Relaxed' : 'Tightened'
  return {
    amount,
    reason:
      `${how} to ${rate}: the limit of ${limit} would be reached before the reset with ${percent} %${when}, and ` +
      `${limit - used} are left until ${new Date(windowEndMs).toISOString()}.`,
  }
}
