/** The part of an audit that compares the projections of `calls` with the rows they sum, hour by hour. */
import type { Store } from './open.ts'

/** Rows go on arriving between two queries: an hour differs only if it still does after this many looks. */
const LOOKS_MAX = 4
/** The newest hours that are compared. */
const HOURS_MAX = 1_000

export const PROJECTIONS = ['usage_by_hour', 'routes_by_hour', 'totals_by_hour'] as const

/** Answers one sentence for each hour in which a projection and its rows disagree. */
export const auditProjections = async (store: Store): Promise<string[]> => {
  const differences: string[] = []
  for (const projection of PROJECTIONS) {
    for (const hour of await findDifferentHours(store, projection)) {
      differences.push(`${projection} and the rows of calls disagree about the hour ${hour}`)
    }
  }
  return differences
}

const findDifferentHours = async (store: Store, projection: string): Promise<string[]> => {
  let suspects: string[] = []
  for (let look = 1; look <= LOOKS_MAX; look++) {
    const projected = await readHours(store, projection)
    const raw = await readHours(store, null)
    const hours = [...new Set([...projected.keys(), ...raw.keys()])]
    const different = hours.filter(hour => projected.get(hour) !== raw.get(hour))
    suspects = look === 1 ? different : suspects.filter(hour => different.includes(hour))
    if (suspects.length === 0) return []
  }
  return suspects
}

/** Sums of each hour as text: all that every projection and the rows can answer. */
export const PROJECTED_HOURS_SQL = `SELECT
    toString(hour),
    concat(
      toString(count()), ' calls ', toString(sum(request_bytes)), ' ', toString(sum(response_bytes)), ' bytes ',
      toString(sum(total_tokens)), ' tokens ', toString(sum(cost_micros)), ' micros'
    )
  FROM calls GROUP BY hour ORDER BY hour DESC LIMIT ${HOURS_MAX}`

const readHours = async (store: Store, projection: string | null): Promise<Map<string, string>> => {
  const result = await store.client.query({
    query: PROJECTED_HOURS_SQL,
    format: 'JSONCompactEachRow',
    clickhouse_settings:
      projection === null
        ? { optimize_use_projections: 0 }
        : { optimize_use_projections: 1, preferred_optimize_projection_name: projection },
  })
  return new Map(await result.json<[string, string]>())
}
