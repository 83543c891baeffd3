/**
 * Quotas: a named promise of who (`match`, `per`) may take how much (`unit`, `limit`) in which window. Matching exists
 * twice, as a function for the limiter and as SQL for the analyzer, made from the same parsed conditions.
 */
import type { QuotaUnit } from '../usage/units.ts'
import { HELD_WINDOW, isResetting, parseWindow, WindowError, type WindowSpec } from '../usage/window.ts'
import type { Counts, Enforcement, QuotaOptions } from './quota-options.ts'

/** Most quotas of one installation; every decision and every tick goes through those that may match. */
export const QUOTAS_MAX = 10_000

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
  /** Null: what the provider says, or what the analyzer set, where it is known for the subject. */
  readonly limit: number | null
  readonly window: WindowSpec
  readonly counts: Counts
  readonly enforcement: Enforcement
  /** The quota that this one is the pace of, a rate beside it; null for all that were configured. */
  readonly paceOf: Quota | null
  readonly onStoreFailure: 'allow' | 'deny'
  readonly reservation: QuotaOptions['reservation']
  readonly alerts: QuotaOptions['alerts']
  /** What makes two buckets comparable: a changed limit keeps what was used, a changed unit or window does not. */
  readonly series: string
  /** As it was configured. */
  readonly options: QuotaOptions
}

interface Problem {
  path: string
  message: string
}

/** A quota that cannot be. All its problems, each with the path of the option. */
export class QuotaError extends Error {
  readonly code = 'QUOTA_INVALID'
  readonly problems: readonly Problem[]

  constructor(quota: string, problems: readonly Problem[]) {
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
  const problems: Problem[] = []
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
  if (window !== null)
    problems.push(...enforcementProblems(options, window), ...upstreamProblems(options, conditions, per))
  if (window === null || problems.length > 0) throw new QuotaError(options.name, problems)
  const { name, unit, counts, enforcement, onStoreFailure, reservation, alerts } = options
  const series = [name, unit, window.definition, ...per.map(dimension => dimension.name)].join('|')
  return {
    name,
    conditions,
    per,
    unit,
    limit: options.limit === 'upstream' ? null : options.limit,
    window,
    counts,
    enforcement,
    paceOf: null,
    onStoreFailure,
    reservation,
    alerts,
    series,
    options,
  }
}

/** The one value that all calls under these conditions have in this dimension, or `null`. */
export function onlyValue(conditions: readonly Condition[], wanted: DimensionField): string | null {
  const condition = conditions.find(({ field }) => field === wanted)
  if (condition === undefined || condition.prefixes.length > 0 || condition.values.size !== 1) return null
  return condition.values.values().next().value ?? null
}

function enforcementProblems({ enforcement }: QuotaOptions, window: WindowSpec): Problem[] {
  if (enforcement !== 'pace' || isResetting(window)) return []
  return [{ path: '/enforcement', message: 'cannot be pace: the window has no reset that anything could last until' }]
}

/** What a provider says is about one of its keys. */
function upstreamProblems(
  { limit, unit }: QuotaOptions,
  conditions: readonly Condition[],
  per: Quota['per'],
): Problem[] {
  if (limit !== 'upstream') return []
  const isOfOne = onlyValue(conditions, 'providerKey') !== null
  const problems: Problem[] = []
  if (!isOfOne && per.every(({ field }) => field !== 'providerKey')) {
    problems.push({ path: '/per', message: 'must have providerKey, or match one: providers say limits by key' })
  }
  if (unit === 'concurrent_requests')
    problems.push({ path: '/limit', message: 'cannot be upstream: no provider says it' })
  return problems
}

/** The quota's window; null when it has a problem, which is told. */
function windowOf(
  { unit, window, counts, limit }: QuotaOptions,
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
    return parseWindow(window, limit === 'upstream' ? null : limit)
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

/** Prefixes of a condition that the store can look for in its indexes, a parameter each; the further ones are one list. */
const PREFIXES_APART_MAX = 32

export interface MatchSql {
  /** A condition over `calls`, `1` when everything matches. */
  readonly sql: string
  readonly params: Record<string, string | string[]>
}

/** The same match for ClickHouse; `prefix` keeps the parameters of several quotas in one query apart. */
export function matchSql({ conditions }: Pick<Quota, 'conditions'>, prefix = 'match'): MatchSql {
  const params: MatchSql['params'] = {}
  const all = conditions.map(({ field, values, prefixes }) => {
    const column = DIMENSION_COLUMNS[field]
    const any = prefixes.slice(0, PREFIXES_APART_MAX).map((text, index) => {
      params[`${prefix}_${column}_${index}`] = text
      return `startsWith(${column}, {${prefix}_${column}_${index}:String})`
    })
    if (prefixes.length > PREFIXES_APART_MAX) {
      params[`${prefix}_${column}_others`] = prefixes.slice(PREFIXES_APART_MAX)
      any.push(`arrayExists(text -> startsWith(${column}, text), {${prefix}_${column}_others:Array(String)})`)
    }
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
