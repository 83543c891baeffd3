/** A source of calls: the shape it writes in, and what its calls have in common. */
import type { Dialect } from '../normalize/draft.ts'

export interface CallSource {
  name: string
  dialect: Dialect
  /** The gateway of calls that name none. */
  gateway: string | null
  /** The tenant of callers of whom nothing else says it. */
  tenant: string | null
  /** IANA name of the zone of times that name none. */
  timezone: string
}

/** Who may see the tenant `own` only (`null`: all) is not told of the sources of others. */
export const isSeenBy = ({ tenant }: Pick<CallSource, 'tenant'>, own: string | null): boolean =>
  own === null || tenant === null || tenant === own

/** A source of which nothing is known but its dialect. */
export const plainSource = (dialect: Dialect): CallSource => ({
  ...{ name: dialect.name, dialect },
  ...{ gateway: null, tenant: null, timezone: 'UTC' },
})
