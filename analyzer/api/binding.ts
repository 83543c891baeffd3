/** Which of the quotas that cover a subject runs out first. */
import { firstToBind } from '../forecast/binding.ts'
import { narrowedTo } from '../policy/narrowing.ts'
import type { Policy } from '../policy/policy.ts'
import { type DimensionField, onlyValue, type Quota } from '../policy/quota.ts'
import type { SubjectForecast } from '../tick/subject-forecast.ts'
import type { Snapshot } from '../tick/ticker.ts'

/** Other quotas of a tenant that are looked at, the first ones. */
const QUOTAS_MAX = 256

export interface Binding {
  quota: string
  probability: number
}

/**
 * The quotas that calls of the forecast's subject also spend from, with the chance of each to be the first to run out; those
 * without a chance are left out, as are those that a caller of one tenant may not see, and quotas that only watch bind nobody.
 */
export function bindingOf(
  forecast: SubjectForecast,
  { snapshot, policy, own }: { snapshot: Snapshot; policy: Policy; own: string | null },
): Binding[] {
  const quota = policy.byName.get(forecast.quota)
  if (!quota) return []
  const known = new Map<DimensionField, string>()
  for (const { field } of quota.conditions) {
    const only = onlyValue(quota.conditions, field)
    if (only !== null) known.set(field, only)
  }
  for (const { name, field } of quota.per) known.set(field, forecast.subject[name] ?? '')
  const binds = (one: Quota) => one.enforcement !== 'shadow' && one.paceOf === null
  const others = policy.candidates(known.get('tenant') ?? null).filter(other => other !== quota && binds(other))
  const covering = others.slice(0, QUOTAS_MAX).flatMap(other => {
    const subject = subjectIn(other, known)
    return (subject && snapshot.find(other.name, subject)) ?? []
  })
  if (binds(quota)) covering.unshift(forecast)
  if (covering.length < 2) return []
  const chances = firstToBind(
    covering.map(({ asOfMs: nowMs, windowEndMs, crossing }) => ({ nowMs, windowEndMs, crossing })),
  )
  return covering
    .flatMap(({ quota: name, tenant }, index) =>
      own === null || tenant === own ? { quota: name, probability: chances[index] ?? 0 } : [],
    )
    .filter(({ probability }) => probability > 0)
    .sort((a, b) => b.probability - a.probability)
}

/** Whose bucket of the quota the calls spend from; `null` where that depends on the call, or it covers none of them. */
function subjectIn(quota: Quota, known: ReadonlyMap<DimensionField, string>): string[] | null {
  const values = quota.per.flatMap(({ field }) => known.get(field) ?? [])
  if (values.length < quota.per.length) return null
  return (
    narrowedTo(
      quota,
      Array.from(known, ([field, value]) => ({ field, value })),
    ) && values
  )
}
