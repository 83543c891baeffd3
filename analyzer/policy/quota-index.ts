/** Which quotas may match a call, without trying them all: most quotas name their tenant. */
import type { Quota } from './quota.ts'

/** Answers the quotas that can match calls of the tenant, in the given order. */
export function indexQuotas(quotas: readonly Quota[]): (tenant: string | null) => readonly Quota[] {
  const named = new Set<string>()
  for (const quota of quotas) for (const tenant of exactTenants(quota) ?? []) named.add(tenant)
  const forOthers = quotas.filter(quota => exactTenants(quota) === null)
  const byTenant = new Map<string, readonly Quota[]>()
  for (const tenant of named) {
    byTenant.set(
      tenant,
      quotas.filter(quota => exactTenants(quota)?.has(tenant) ?? true),
    )
  }
  return tenant => byTenant.get(tenant ?? '') ?? forOthers
}

/** The only tenants whose calls the quota can match; null when it may be any. */
function exactTenants(quota: Quota): ReadonlySet<string> | null {
  const condition = quota.conditions.find(({ field }) => field === 'tenant')
  return condition === undefined || condition.prefixes.length > 0 ? null : condition.values
}
