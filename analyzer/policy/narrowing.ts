/** A quota seen through fewer of its calls: those of one subject, of one tenant. */
import { type DimensionField, onlyValue, type Quota } from './quota.ts'

/** The quota, of the calls with these values only; `null` when it covers none of them. */
export function narrowedTo<Q extends Quota>(
  quota: Q,
  wanted: readonly { readonly field: DimensionField; readonly value: string }[],
): Q | null {
  const isCovered = quota.conditions.every(({ field, values, prefixes }) => {
    const value = wanted.find(one => one.field === field)?.value
    return value === undefined || values.has(value) || prefixes.some(prefix => value.startsWith(prefix))
  })
  if (!isCovered) return null
  const others = quota.conditions.filter(({ field }) => wanted.every(one => one.field !== field))
  const own = wanted.map(({ field, value }) => ({ field, values: new Set([value]), prefixes: [] }))
  return { ...quota, conditions: [...others, ...own] }
}

/** Whether it covers a call of the only tenant that somebody may see (`null`: of all), who shall not learn what others are promised. */
export const isSeenBy = (own: string | null, quota: Quota): boolean =>
  own === null || narrowedTo(quota, [{ field: 'tenant', value: own }]) !== null

/** The quota's subjects of this tenant; `null` unless its subjects say whose they are, by `per` or by `match`. */
export function ofTenant<Q extends Quota>(quota: Q, tenant: string): Q | null {
  const isMatched = onlyValue(quota.conditions, 'tenant') !== null
  if (!isMatched && quota.per.every(({ field }) => field !== 'tenant')) return null
  return narrowedTo(quota, [{ field: 'tenant', value: tenant }])
}
