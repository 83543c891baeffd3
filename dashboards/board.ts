/** A board as it is described here; `draw.ts` makes Grafana's JSON of it. */
import type { Panel } from './panel.ts'
import { HOURS, offered } from './sql.ts'

export interface Variable {
  name: string
  label: string
  /** Answers its values, or values and texts. */
  sql: string
  /** One value at a time, and never all. */
  isSingle?: boolean
}

export interface Board {
  /** Part of its address and of its file's name. */
  slug: string
  title: string
  /** What it is for. */
  question: string
  /** As Grafana writes them: `now-24h`. */
  from: string
  to: string
  refresh: string
  variables: readonly Variable[]
  needsPrometheus: boolean
  rows: readonly { title: string; panels: readonly Panel[] }[]
}

export const uidOf = (slug: string): string => `quotacast-${slug}`

/** Most values that a list offers; others can be typed. */
const VALUES_MAX = 1_000
const valuesOf = (column: string, condition = '1'): string =>
  `SELECT ${offered(column)} FROM calls WHERE ${HOURS} AND ${column} != '' AND ${condition} GROUP BY ${column} ORDER BY count() DESC LIMIT ${VALUES_MAX}`

/** Consumers are many, and adding them up over a month takes a second: those of the last day are offered. */
const CALLED_LATELY = 'hour >= least($__toTime, now()) - INTERVAL 1 DAY'
const ofTenant = '$__conditionalAll(tenant IN (${tenant:sqlstring}), $tenant)'

/** The variables that boards share: a link from one to the next keeps them. */
export const VARIABLES = {
  tenant: { name: 'tenant', label: 'Tenant', sql: valuesOf('tenant') },
  consumer: { name: 'consumer', label: 'Consumer', sql: valuesOf('consumer', `${CALLED_LATELY} AND ${ofTenant}`) },
  provider: { name: 'provider', label: 'Provider', sql: valuesOf('provider') },
  model: { name: 'model', label: 'Model', sql: valuesOf('model') },
  gateway: { name: 'gateway', label: 'Gateway', sql: valuesOf('gateway') },
  quota: {
    name: 'quota',
    label: 'Quota',
    sql: `SELECT quota FROM forecasts WHERE as_of >= now() - INTERVAL 32 DAY UNION DISTINCT SELECT quota FROM decisions WHERE minute >= now() - INTERVAL 1 DAY`,
  },
} as const satisfies Record<string, Variable>
