/** What the forecasts of all subjects say together, by quota: few enough numbers to measure and to alert on. */
import type { Quota } from '../policy/quota.ts'
import type { SubjectForecast } from './subject-forecast.ts'

export interface QuotaRisk {
  quota: string
  /** The highest of its subjects. */
  probability: number
  /** Subjects whose probability is worth an alert, and those that have run out. */
  atRisk: number
  usedUp: number
}

/** Every quota that can be forecast, also one that nobody has used yet. Thresholds are those of its alerts. */
export function risksOf(
  quotas: readonly Pick<Quota, 'name' | 'alerts'>[],
  forecasts: readonly SubjectForecast[],
): QuotaRisk[] {
  const risks = new Map(quotas.map(({ name }) => [name, { quota: name, probability: 0, atRisk: 0, usedUp: 0 }]))
  const thresholds = new Map(quotas.map(({ name, alerts }) => [name, alerts.exhaustionProbability]))
  for (const { quota, used, limit, probability, confidence } of forecasts) {
    const risk = risks.get(quota)
    if (risk === undefined) continue
    if (limit !== null && used >= limit) {
      risk.usedUp++
      risk.probability = 1
    } else if (probability !== null && confidence !== 'none') {
      risk.probability = Math.max(risk.probability, probability)
      if (probability >= (thresholds.get(quota) ?? 1)) risk.atRisk++
    }
  }
  return [...risks.values()]
}
