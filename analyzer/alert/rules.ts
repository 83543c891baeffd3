/**
 * What of a forecast somebody should know. Pure. Two rules: a share of the limit is used up (a fact), and the quota will
 * probably run out before its reset (a forecast). What oscillates about a threshold is told once: an alert begins at the
 * threshold and ends well below it, and not before that has lasted (alerting.ts).
 */
import { isExhausted } from '../forecast/exhausted.ts'
import type { Forecast } from '../forecast/forecaster.ts'
import type { Quota } from '../policy/quota.ts'

/** A probable exhaustion is one no more below this share of the probability at which it began. */
const UNLIKELY_SHARE = 0.5
/** A share of the limit is used up no more below this part of it. */
const UNUSED_SHARE = 0.9
/** How long exhaustion has to be probable before it is told: this part of the window, at most so long. */
const LASTING_WINDOW_SHARE = 1 / 60
const LASTING_MS_MAX = 300_000

/** What is known of one subject of a quota. */
export interface AlertAsk extends Pick<Forecast, 'probability' | 'exhaustionAtMs' | 'confidence'> {
  used: number
  /** Null while nobody has said it. */
  limit: number | null
  windowStartMs: number
  windowEndMs: number
  asOfMs: number
}

type Watched = Pick<Quota, 'alerts'>

/** Used up, or refused by a provider who may not have said how much it allows. A quota of 0 is meant to be. */
export const isUsedUp = (ask: AlertAsk): boolean => ask.limit !== 0 && isExhausted(ask)

/** The highest share of the limit that is used up and worth telling, 1 when nothing is left; `null` below all of them. */
export function usedShare({ alerts }: Watched, ask: AlertAsk): number | null {
  if (isUsedUp(ask)) return 1
  const { used, limit } = ask
  if (limit === null || limit === 0) return null
  // Not the product, which may be a little more than the units that it stands for.
  const reached = alerts.used.filter(share => used / limit >= share)
  return reached.length === 0 ? null : Math.max(...reached)
}

/** True while no less than the share is used up, or so little less that it may well be again. */
export function isStillUsed(share: number, ask: AlertAsk): boolean {
  return isUsedUp(ask) || (ask.limit !== null && ask.limit > 0 && ask.used >= UNUSED_SHARE * share * ask.limit)
}

/** True when the quota will probably run out before its reset, and has not. */
export function isExhaustionProbable({ alerts }: Watched, ask: AlertAsk): boolean {
  const { probability, confidence } = ask
  return !isExhausted(ask) && confidence !== 'none' && (probability ?? 0) >= alerts.exhaustionProbability
}

/** True while it is so probable that it may well be told again. */
export function isExhaustionStillProbable({ alerts }: Watched, { probability, limit }: AlertAsk): boolean {
  return limit !== 0 && (probability ?? 0) >= UNLIKELY_SHARE * alerts.exhaustionProbability
}

/** How long exhaustion has to be probable before it is told, milliseconds. A short burst is no alarm. */
export function lastingMs({ windowStartMs, windowEndMs }: AlertAsk): number {
  return Math.min(LASTING_MS_MAX, (windowEndMs - windowStartMs) * LASTING_WINDOW_SHARE)
}
