/**
 * Which alerts begin, rise and end by the forecasts of a tick. What is held is in the control log; this remembers only for
 * how long something has been so, from which a restart begins again.
 */
import { subjectEntryKey } from '../control/subject-entry.ts'
import type { Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { subjectKey, subjectNamed } from '../policy/subject.ts'
import type { Alert, Rule } from './alert.ts'
import {
  type AlertAsk,
  isExhaustionProbable,
  isExhaustionStillProbable,
  isStillUsed,
  isUsedUp,
  lastingMs,
  usedShare,
} from './rules.ts'

/** Alerts at once; further ones begin when others have ended. */
export const ALERTS_MAX = 10_000
/** An alert ends when it has been over for so long: short windows would end it with each reset. */
const OVER_MS_MIN = 300_000
/** One of whom nothing is known any more ends so long after its window: a subject that could not be read comes back. */
const UNKNOWN_MS_MIN = 3_600_000
const UNKNOWN = { probability: null, why: 'Nothing is known of its use any more.' }
const DROPPED = { probability: null, isDropped: true }

/** A forecast, as far as alerts tell it. */
export interface AlertForecast
  extends AlertAsk,
    Pick<Alert, 'quota' | 'subject' | 'tenant' | 'consumer' | 'unit' | 'why'> {}

export interface JudgeAsk {
  /** By the keys under which the control log has them. */
  held: ReadonlyMap<string, Alert>
  policy: Pick<Policy, 'byName'>
  /** Those that were just made. */
  forecasts: readonly AlertForecast[]
  /** The newest of a subject that this analyzer follows. */
  find: (quota: string, subject: readonly string[]) => AlertForecast | undefined
  /** True for subjects that it has to follow, whether or not anything is known of them. */
  isOwn: (quota: Pick<Quota, 'name' | 'per'>, subject: readonly string[]) => boolean
  /** Of all channels that there are. */
  names: readonly string[]
  /** Who is told of the quota's alerts. */
  channelsOf: (quota: Quota) => readonly string[]
  nowMs: number
}

/** `null` removes the alert: nobody has to be told. */
export interface AlertChange {
  key: string
  alert: Alert | null
}

interface Risen extends AlertChange {
  alert: Alert
}

/** Answers a function that judges tick after tick; what is over comes first, then the worst. */
export function createJudge(): (ask: JudgeAsk) => AlertChange[] {
  const probable = new Map<string, { forecast: AlertForecast; sinceMs: number }>()
  const overSinceMs = new Map<string, number>()
  return ask => {
    const ended = [...ask.held].flatMap(([key, alert]) => ending(ask, { key, alert }, overSinceMs) ?? [])
    for (const key of overSinceMs.keys()) if (!ask.held.has(key)) overSinceMs.delete(key)
    const watched = ask.forecasts.flatMap(forecast => {
      const quota = ask.policy.byName.get(forecast.quota)
      return quota && ask.channelsOf(quota).length > 0 ? [{ quota, forecast }] : []
    })
    const used = watched.flatMap(({ quota, forecast }) => {
      const share = usedShare(quota, forecast)
      return share === null ? [] : (rising(ask, 'used', quota, { forecast, level: share }) ?? [])
    })
    for (const { quota, forecast } of watched) {
      if (!isExhaustionProbable(quota, forecast)) continue
      const key = keyOf('exhaustion', quota, forecast)
      if (!probable.has(key)) probable.set(key, { forecast, sinceMs: ask.nowMs })
    }
    const exhausting = [...probable].flatMap(([key, one]) => {
      const { forecast } = one
      // The clock may have been set back: it has lasted no time then.
      one.sinceMs = Math.min(one.sinceMs, ask.nowMs)
      const quota = ask.policy.byName.get(forecast.quota)
      const newest = quota && ask.find(quota.name, subjectNamed(quota, forecast.subject))
      if (!newest || !isExhaustionProbable(quota, newest)) {
        probable.delete(key)
        return []
      }
      if (ask.nowMs - one.sinceMs < lastingMs(newest)) return []
      const level = quota.alerts.exhaustionProbability
      return rising(ask, 'exhaustion', quota, { forecast: newest, level }) ?? []
    })
    const begun = [...used, ...exhausting].toSorted((one, other) => urgencyOf(other.alert) - urgencyOf(one.alert))
    const room = Math.max(0, ALERTS_MAX - ask.held.size)
    const isKnown = ({ key }: Risen) => ask.held.has(key)
    return [...ended, ...begun.filter(isKnown), ...begun.filter(one => !isKnown(one)).slice(0, room)]
  }
}

/** What is used up comes before what may be. */
export const urgencyOf = ({ rule, level }: Pick<Alert, 'rule' | 'level'>): number => (rule === 'used' ? 1 : 0) + level

const keyOf = (rule: Rule, quota: Quota, { subject }: AlertForecast): string =>
  `${subjectEntryKey(quota.name, subjectKey(subjectNamed(quota, subject)))}:${rule}`

/** The alert that begins, or reaches a higher level; `null` where it is told already. */
function rising(
  { held, names, channelsOf, nowMs }: JudgeAsk,
  rule: Rule,
  quota: Quota,
  { forecast, level }: { forecast: AlertForecast; level: number },
): Risen | null {
  const key = keyOf(rule, quota, forecast)
  const known = held.get(key)
  const before = known?.endedAtMs === null ? known : null
  if (before && before.level >= level) return null
  const { subject, tenant, consumer } = forecast
  return {
    key,
    alert: {
      ...{ rule, quota: quota.name, subject, tenant, consumer, level },
      ...{ sinceMs: before?.sinceMs ?? nowMs, endedAtMs: null },
      ...factsOf(forecast),
      ...{ told: [], toldBefore: known ? knowing(known, names) : [], untold: [...channelsOf(quota)] },
    },
  }
}

function factsOf({
  unit,
  used,
  limit,
  probability,
  exhaustionAtMs,
  windowEndMs,
  confidence,
  why,
  asOfMs,
}: AlertForecast) {
  const { p10, p50, p90 } = exhaustionAtMs
  return { unit, used, limit, probability, exhaustionAtMs: { p10, p50, p90 }, windowEndMs, confidence, why, asOfMs }
}

/** What becomes of an alert that is held; `null` when it stays as it is. */
function ending(
  ask: JudgeAsk,
  { key, alert }: { key: string; alert: Alert },
  overSinceMs: Map<string, number>,
): AlertChange | null {
  const { policy, find, names, channelsOf, nowMs } = ask
  const forgotten = { key, alert: null }
  const quota = policy.byName.get(alert.quota)
  const [owner, subject] = whoseIs(alert, quota)
  if (!ask.isOwn(owner, subject)) return null
  if (alert.endedAtMs !== null) return alert.untold.some(name => names.includes(name)) ? null : forgotten
  const over = (facts: Partial<Alert>, endedAtMs: number): AlertChange => {
    // Who was not told of the begin need not know of the end.
    const untold = knowing(alert, names)
    if (untold.length === 0) return forgotten
    return { key, alert: { ...alert, ...facts, endedAtMs, told: [], toldBefore: [], untold } }
  }
  if (quota === undefined) return over({ ...DROPPED, why: 'The quota is gone.' }, nowMs)
  if (channelsOf(quota).length === 0) return over({ ...DROPPED, why: 'Nobody is told of its alerts any more.' }, nowMs)
  const forecast = find(quota.name, subject)
  // The other rule says so.
  if (alert.rule === 'exhaustion' && forecast && isUsedUp(forecast)) return forgotten
  if (forecast && isOn(alert, quota, forecast)) {
    overSinceMs.delete(key)
    return null
  }
  const share = alert.rule === 'used' && forecast ? usedShare(quota, forecast) : null
  if (forecast && share !== null) return { key, alert: { ...alert, ...factsOf(forecast), level: share } }
  const endedAtMs = Math.min(overSinceMs.get(key) ?? nowMs, nowMs)
  overSinceMs.set(key, endedAtMs)
  const isOver = forecast
    ? nowMs - endedAtMs >= OVER_MS_MIN
    : nowMs - Math.max(endedAtMs, alert.windowEndMs) >= UNKNOWN_MS_MIN
  return isOver ? over(forecast ? factsOf(forecast) : UNKNOWN, endedAtMs) : null
}

/** By what `isOwn` knows whose the alert is: without its quota nobody knows in which order its subjects were told apart. */
export const whoseIs = (
  alert: Alert,
  quota: Quota | undefined,
): [quota: Pick<Quota, 'name' | 'per'>, subject: readonly string[]] =>
  quota ? [quota, subjectNamed(quota, alert.subject)] : [{ name: alert.quota, per: [] }, []]

/** Those of the channels that take the alert for one that has not ended. */
function knowing({ endedAtMs, told, toldBefore = [], untold }: Alert, names: readonly string[]): string[] {
  return names.filter(name => {
    if (endedAtMs !== null) return untold.includes(name)
    return toldBefore.includes(name) || (told?.includes(name) ?? !untold.includes(name))
  })
}

const isOn = (alert: Alert, quota: Quota, forecast: AlertForecast): boolean =>
  alert.rule === 'used' ? isStillUsed(alert.level, forecast) : isExhaustionStillProbable(quota, forecast)
