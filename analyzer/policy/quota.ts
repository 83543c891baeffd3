/**
 * Quotas: a named promise of who (`match`, `per`) may take how much (`unit`, `limit`) in which window. Matching exists
 * twice, as a function for the limiter and as SQL for the analyzer, made from the same parsed conditions.
 */
import Type, { type Static } from 'typebox'
import { QUOTA_UNITS, type QuotaUnit } from '../usage/units.ts'
import { HELD_WINDOW, parseWindow, WindowError, type WindowSpec } from '../usage/window.ts'
import { WindowOptions } from '../usage/window-options.ts'

/** Most quotas of one installation; every decision and every tick goes through those that may match. */
export const QUOTAS_MAX = 10_000
const PATTERNS_MAX = 1_000
/** Longest value of a dimension. */
export const VALUE_CHARACTERS_MAX = 512

/** A record's dimensions that quotas may name, and the columns of `calls` that hold them. */
export const DIMENSION_COLUMNS = {
  tenant: 'tenant',
  consumer: 'consumer',
  gateway: 'gateway',
  route: 'route',
  service: 'service',
  provider: 'provider',
  model: 'model',
  providerKey: 'provider_key',
  label1: 'label_1',
  label2: 'label_2',
} as const
export type DimensionField = keyof typeof DIMENSION_COLUMNS

/** The dimensions with a name of their own; configured labels (`label1`, `label2`) are named by config. */
export const DIMENSIONS = [
  'tenant',
  'consumer',
  'gateway',
  'route',
  'service',
  'provider',
  'model',
  'providerKey',
] as const satisfies readonly DimensionField[]

/** What is known of a call; `null` is unknown, and in the store an empty text. */
export type Dimensions = Record<DimensionField, string | null>

const patterns = Type.Union(
  [
    Type.String({ minLength: 1, maxLength: VALUE_CHARACTERS_MAX }),
    Type.Array(Type.String({ minLength: 1, maxLength: VALUE_CHARACTERS_MAX }), {
      minItems: 1,
      maxItems: PATTERNS_MAX,
    }),
  ],
  { description: 'One value or a list of which one must match; a trailing `*` makes a prefix.' },
)
const shareOf = (description: string, options: { default?: number } = {}) =>
  Type.Number({ exclusiveMinimum: 0, maximum: 1, description, ...options })

const COUNTS = ['checks', 'records', 'checks_and_records'] as const
type Counts = (typeof COUNTS)[number]

export const QuotaOptions = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$',
      description: 'Name of the quota, unique; gateways see it in `RateLimit-Policy`.',
    }),
    match: Type.Record(Type.String(), patterns, {
      default: {},
      description: 'Dimensions that a call must have; an absent dimension matches any call.',
    }),
    per: Type.Array(Type.String(), {
      default: [],
      maxItems: 10,
      uniqueItems: true,
      description: 'One bucket for each distinct combination of these dimensions; empty is one bucket for all.',
    }),
    unit: Type.Union(
      QUOTA_UNITS.map(unit => Type.Literal(unit)),
      { description: 'What is counted; `cost` in millionths of the currency. `concurrent_requests` has no window.' },
    ),
    limit: Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Units that the quota allows per window; 0 denies.',
    }),
    window: Type.Optional(WindowOptions),
    counts: Type.Union(
      COUNTS.map(counts => Type.Literal(counts)),
      {
        default: 'checks_and_records',
        description: "What spends the quota: the limiter's answers, call records, or both.",
      },
    ),
    enforcement: Type.Union([Type.Literal('deny'), Type.Literal('shadow')], {
      default: 'deny',
      description: '`shadow` computes and shows, but never denies.',
    }),
    onStoreFailure: Type.Union([Type.Literal('allow'), Type.Literal('deny')], {
      default: 'allow',
      description: 'What to answer while the limit store is away.',
    }),
    reservation: Type.Object(
      {
        ttlSeconds: Type.Integer({
          default: 120,
          minimum: 1,
          maximum: 86_400,
          description: 'How long an estimate is held for a call whose cost is not known yet.',
        }),
        onExpiry: Type.Literal('release', { default: 'release', description: 'What becomes of it then.' }),
      },
      { additionalProperties: false, default: {}, description: 'Estimates that are held.' },
    ),
    alerts: Type.Object(
      {
        used: Type.Array(shareOf('Share of the limit.'), {
          default: [],
          maxItems: 10,
          description: 'Shares of the limit whose use is worth an alert.',
        }),
        exhaustionProbability: shareOf(
          'Probability of exhaustion before the reset from which on it is worth an alert.',
          { default: 0.7 },
        ),
      },
      {
        additionalProperties: false,
        default: {},
        description: 'When somebody should know; forecasts are kept at the instant a threshold is crossed.',
      },
    ),
  },
  { additionalProperties: false, description: 'A named promise of who may take how much in which window.' },
)
export type QuotaOptions = Static<typeof QuotaOptions>

interface Condition {
  readonly field: DimensionField
  readonly values: ReadonlySet<string>
  readonly prefixes: readonly string[]
}

export interface Quota {
  readonly name: string
  readonly conditions: readonly Condition[]
  /** The dimensions of a subject, by the names that config uses and the fields that hold them. */
  readonly per: readonly { readonly name: string; readonly field: DimensionField }[]
  readonly unit: QuotaUnit
  readonly limit: number
  readonly window: WindowSpec
  readonly counts: Counts
  readonly enforcement: 'deny' | 'shadow'
  readonly onStoreFailure: 'allow' | 'deny'
  readonly reservation: QuotaOptions['reservation']
  readonly alerts: QuotaOptions['alerts']
  /** What makes two buckets comparable: a changed limit keeps what was used, a changed unit or window does not. */
  readonly series: string
  /** As it was configured. */
  readonly options: QuotaOptions
}

/** A quota that cannot be. All its problems, each with the path of the option. */
export class QuotaError extends Error {
  readonly code = 'QUOTA_INVALID'
  readonly problems: readonly { path: string; message: string }[]

  constructor(quota: string, problems: readonly { path: string; message: string }[]) {
    super(`quota ${quota}: ${problems.map(({ path, message }) => `${path} ${message}`).join('; ')}`)
    this.name = 'QuotaError'
    this.problems = problems
  }
}

/**
 * Makes validated options usable. `labelColumns` are the configured labels (at most two). Throws `QuotaError` with all
 * problems: unknown dimensions, an unknown time zone.
 */
export function parseQuota(options: QuotaOptions, labelColumns: readonly string[]): Quota {
  const problems: { path: string; message: string }[] = []
  const fieldOf = (name: string, path: string): DimensionField | null => {
    const field = dimensionField(name, labelColumns)
    if (field === null) problems.push({ path, message: `is not a dimension or configured label: ${name}` })
    return field
  }
  const conditions: Condition[] = []
  for (const [name, wanted] of Object.entries(options.match)) {
    const field = fieldOf(name, `/match/${name}`)
    if (field !== null) conditions.push(toCondition(field, wanted))
  }
  const per: Quota['per'][number][] = []
  for (const [index, name] of options.per.entries()) {
    const field = fieldOf(name, `/per/${index}`)
    if (field !== null) per.push({ name, field })
  }
  const window = windowOf(options, (path, message) => problems.push({ path, message }))
  if (window === null || problems.length > 0) throw new QuotaError(options.name, problems)
  const { name, unit, limit, counts, enforcement, onStoreFailure, reservation, alerts } = options
  const series = [name, unit, window.definition, ...per.map(dimension => dimension.name)].join('|')
  return {
    name,
    conditions,
    per,
    unit,
    limit,
    window,
    counts,
    enforcement,
    onStoreFailure,
    reservation,
    alerts,
    series,
    options,
  }
}

/** The quota's window; null when it has a problem, which is told. */
function windowOf(
  { unit, window, counts }: QuotaOptions,
  onProblem: (path: string, message: string) => void,
): WindowSpec | null {
  if (unit === 'concurrent_requests') {
    if (window !== undefined) onProblem('/window', 'must be absent: calls under way are counted')
    if (counts === 'records') onProblem('/counts', 'cannot be records: those come when their call has ended')
    return HELD_WINDOW
  }
  if (window === undefined) {
    onProblem('/window', `is missing: ${unit} are counted in one`)
    return null
  }
  try {
    return parseWindow(window)
  } catch (error) {
    if (!(error instanceof WindowError)) throw error
    onProblem(`/window${error.path}`, error.message)
    return null
  }
}

/** The field that a dimension or configured label is kept in, or `null` for anything else. */
export function dimensionField(name: string, labelColumns: readonly string[]): DimensionField | null {
  const own = DIMENSIONS.find(dimension => dimension === name)
  if (own !== undefined) return own
  const label = labelColumns.indexOf(name)
  if (label === 0) return 'label1'
  return label === 1 ? 'label2' : null
}

/** True when the quota covers a call with these dimensions. */
export function matches(quota: Quota, dims: Dimensions): boolean {
  for (const condition of quota.conditions) {
    const value = dims[condition.field] ?? ''
    if (!condition.values.has(value) && !condition.prefixes.some(prefix => value.startsWith(prefix))) return false
  }
  return true
}

export interface MatchSql {
  /** A condition over `calls`, `1` when everything matches. */
  readonly sql: string
  readonly params: Record<string, string | string[]>
}

/** The same match for ClickHouse; `prefix` keeps the parameters of several quotas in one query apart. */
export function matchSql(quota: Quota, prefix = 'match'): MatchSql {
  const params: MatchSql['params'] = {}
  const all = quota.conditions.map(({ field, values, prefixes }) => {
    const column = DIMENSION_COLUMNS[field]
    const any = prefixes.map((text, index) => {
      params[`${prefix}_${column}_${index}`] = text
      return `startsWith(${column}, {${prefix}_${column}_${index}:String})`
    })
    if (values.size > 0) {
      params[`${prefix}_${column}`] = [...values]
      any.unshift(`${column} IN {${prefix}_${column}:Array(String)}`)
    }
    return any.length === 1 ? any.join() : `(${any.join(' OR ')})`
  })
  return { sql: all.length === 0 ? '1' : all.join(' AND '), params }
}

function toCondition(field: DimensionField, wanted: string | string[]): Condition {
  const values = new Set<string>()
  const prefixes: string[] = []
  for (const pattern of typeof wanted === 'string' ? [wanted] : wanted) {
    if (pattern.endsWith('*')) prefixes.push(pattern.slice(0, -1))
    else values.add(pattern)
  }
  return { field, values, prefixes }
}
