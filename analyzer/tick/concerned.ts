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

/** Those of which nothing can be stored: no call of the tenants that they name, and no decision of theirs. */
export async function silentOf<Of extends { readonly quota: Quota }>(
  client: ClickHouseClient,
  all: readonly Of[],
): Promise<ReadonlySet<Of>> {
  const named = all.filter(({ quota }) => exactTenants(quota) !== null)
  // To ask for one costs as much as to read it.
  if (named.length < 2) return new Set()
  const [called, decided] = [new Set<string>(), new Set<string>()]
  const params = { tenantsMax: TENANTS_MAX }
  await readRows<[string]>(client, CALLED_SQL, params, ([tenant]) => called.add(tenant))
  if (called.size >= TENANTS_MAX) return new Set()
  await readRows<[string]>(client, DECIDED_SQL, {}, ([quota]) => decided.add(quota))
  const hasCalled = ({ quota }: Of) => [...(exactTenants(quota) ?? [])].some(tenant => called.has(tenant))
  return new Set(named.filter(one => !hasCalled(one) && !decided.has(one.quota.name)))
}

/** From a projection by the hour, whatever the number of calls. */
export const CALLED_SQL = 'SELECT tenant FROM calls GROUP BY tenant LIMIT {tenantsMax:UInt32}'
const DECIDED_SQL = 'SELECT DISTINCT quota FROM decisions'

const tenantsSql = (condition: string): string =>
  `SELECT DISTINCT tenant FROM calls WHERE ${condition} LIMIT {tenantsMax:UInt32}`
