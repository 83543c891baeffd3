/** Which quotas may match a call, without trying them all: most quotas name their tenant. */
import type { Quota } from './quota.ts'

/** Answers the quotas that can match calls of the tenant, in the given order. */
export function indexQuotas(quotas: readonly Quota[]): (tenant: string | null) => readonly Quota[] {
  const others: number[] = []
  const named = new Map<string, number[]>()
  for (const [place, quota] of quotas.entries()) {
    const tenants = exactTenants(quota)
    if (tenants === null) others.push(place)
    for (const tenant of tenants ?? []) {
      const known = named.get(tenant)
      if (known === undefined) named.set(tenant, [place])
      else known.push(place)
    }
  }
  const at = (places: readonly number[]) => places.flatMap(place => quotas[place] ?? [])
  const forOthers = at(others)
  // Made for whoever asks: to make it for all tenants takes as long as there are quotas of nobody, times tenants.
  const byTenant = new Map<string, readonly Quota[]>()
  return tenant => {
    const name = tenant ?? ''
    const known = byTenant.get(name)
    if (known !== undefined) return known
    const own = named.get(name)
    if (own === undefined) return forOthers
    const found = at([...own, ...others].toSorted((one, other) => one - other))
    byTenant.set(name, found)
    return found
  }
}

/** The only tenants whose calls the quota can match; null when it may be any. */
export function exactTenants(quota: Quota): ReadonlySet<string> | null {
  const condition = quota.conditions.find(({ field }) => field === 'tenant')
  return condition === undefined || condition.prefixes.length > 0 ? null : condition.values
}
