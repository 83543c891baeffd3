/** What the forecasts of all subjects say together, by quota: few enough numbers to measure and to alert on. */
import { isExhausted } from '../forecast/exhausted.ts'
import type { Quota } from '../policy/quota.ts'
import { isFollowed } from './followed-quota.ts'
import type { SubjectForecast } from './subject-forecast.ts'

export interface QuotaRisk {
  quota: string
  /** The highest of its subjects. */
  probability: number
  /** Subjects whose probability is worth an alert, and those that have run out. */
  atRisk: number
  usedUp: number
}

/**
 * Every quota that can be forecast, also one that nobody has used yet, but no rate, which is used up whenever somebody is
 * fast. Who may use nothing is at no risk: a limit of 0 is meant to deny. Thresholds are those of its alerts.
 */
export function risksOf(quotas: readonly Quota[], forecasts: readonly SubjectForecast[]): QuotaRisk[] {
  const known = quotas.filter(quota => isFollowed(quota) && quota.window.kind !== 'rate')
  const risks = new Map(known.map(({ name }) => [name, { quota: name, probability: 0, atRisk: 0, usedUp: 0 }]))
  const thresholds = new Map(known.map(({ name, alerts }) => [name, alerts.exhaustionProbability]))
  for (const forecast of forecasts) {
    const { quota, probability, confidence } = forecast
    const risk = risks.get(quota)
    if (risk === undefined || forecast.limit === 0) continue
    if (isExhausted(forecast)) {
      risk.usedUp++
      risk.probability = 1
    } else if (probability !== null && confidence !== 'none') {
      risk.probability = Math.max(risk.probability, probability)
      if (probability >= (thresholds.get(quota) ?? 1)) risk.atRisk++
    }
  }
  return [...risks.values()]
}
