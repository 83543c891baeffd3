/** Which quotas new calls may be about: most name their tenant, and a tick is to cost what is new, not what is configured. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { Quota } from '../policy/quota.ts'
import { exactTenants } from '../policy/quota-index.ts'
import type { Fresh } from '../usage/fresh.ts'
import { readRows } from '../usage/selection.ts'

/** Of more tenants than that, whoever calls is not worth telling apart. */
const TENANTS_MAX = 10_000

/** Those of whose quotas one of the new calls may be; none where there are no new ones. */
export async function concernedOf<Of extends { readonly quota: Quota }>(
  client: ClickHouseClient,
  fresh: Fresh | null,
  all: readonly Of[],
): Promise<Of[]> {
  if (fresh === null) return []
  const tenantsOf = new Map(all.map(one => [one, exactTenants(one.quota)]))
  if ([...tenantsOf.values()].every(tenants => tenants === null)) return [...all]
  const called = new Set<string>()
  const { sql, params } = fresh.condition
  await readRows<[string]>(client, tenantsSql(sql), { ...params, tenantsMax: TENANTS_MAX }, row => called.add(row[0]))
  if (called.size >= TENANTS_MAX) return [...all]
  return all.filter(one => {
    const tenants = tenantsOf.get(one) ?? null
    return tenants === null || [...tenants].some(tenant => called.has(tenant))
  })
}

const tenantsSql = (condition: string): string =>
  `SELECT DISTINCT tenant FROM calls WHERE ${condition} LIMIT {tenantsMax:UInt32}`
