/**
 * Names and row types of the store's tables: all that other parts know of them. Rows are as `JSONEachRow` answers them:
 * instants as `YYYY-MM-DD hh:mm:ss[.mmm]` in UTC, numbers as numbers. In text columns '' is unknown, in numeric ones
 * null is.
 */

export const STORE_DATABASE = 'quotacast'

/** How long `calls`, `rejections`, `replays` and `decisions` keep a row: also how long a resent call is recognized. */
export const CALLS_RETENTION_DAYS = 30

/** The only digest that a projection of `calls` holds: written otherwise, a query reads every row. */
export const LATENCY_QUANTILES_SQL = 'quantilesTDigest(0.5, 0.9, 0.99)(latency_ms)'

/** Where in the log a row came from. */
interface LogPositionColumns {
  log_id: string
  log_partition: number
  log_offset: number
}

/** `calls`: one row a call. `minute` and `hour` are those of `started_at`, stored; filter and group on them. */
export interface CallRow extends LogPositionColumns {
  call_id: string
  request_id: string
  started_at: string
  arrived_at: string
  tenant: string
  consumer: string
  gateway: string
  dialect: string
  method: string
  host: string
  route: string
  service: string
  provider: string
  model: string
  provider_key: string
  status: number | null
  outcome: string
  latency_ms: number | null
  upstream_latency_ms: number | null
  request_bytes: number | null
  response_bytes: number | null
  input_tokens: number | null
  cached_input_tokens: number | null
  output_tokens: number | null
  total_tokens: number | null
  cost_micros: number | null
  /** JSON of the record's `upstreamLimits`, or ''. */
  upstream_limits: string
  decision_id: string
  client_ip: string
  labels: Record<string, string>
  label_1: string
  label_2: string
  minute: string
  hour: string
}

/** `rejections`: what could not be normalized; entries of the log that could not be read have no `call_id`. */
interface RejectionRow extends LogPositionColumns {
  call_id: string
  arrived_at: string
  tenant: string
  gateway: string
  dialect: string
  reason: string
  message: string
  input: string
  /** The input is all there but for secrets and prompts. */
  is_whole: boolean
  source: string
  /** The only tenant that the sender might write. */
  restriction: string
  shift_ms: number
  file_stem: string
  /** Empty where the input is no line of a CSV. */
  columns: string[]
  log_topic: string
}

/** `replays`: ids of rejections whose inputs have become calls since, or are none. */
interface ReplayRow {
  call_id: string
  replayed_at: string
}

/** `decisions`: sums of a minute, quota and bucket; several rows of one minute add up. `demanded` = spent + denied. */
interface DecisionRow extends LogPositionColumns {
  /** Unique: sums that came again are not stored again. */
  sum_id: string
  minute: string
  quota: string
  /** JSON of the bucket's dimensions, keys in the order of the quota's `per`. */
  subject: string
  tenant: string
  consumer: string
  unit: string
  allowed: number
  denied: number
  spent: number
  denied_cost: number
  demanded: number
}

/** `forecasts`: what was forecast, so that it can be scored when the window has ended. */
export interface ForecastRow {
  quota: string
  /** JSON of the subject's dimensions, keys in the order of the quota's `per`. */
  subject: string
  tenant: string
  consumer: string
  unit: string
  window_start: string
  window_end: string
  as_of: string
  /** Why this one was kept: a fraction of the window, a crossed threshold. */
  mark: string
  used: number
  limit: number
  probability: number
  exhaustion_p10: string | null
  exhaustion_p50: string | null
  exhaustion_p90: string | null
  usage_p10: number | null
  usage_p50: number | null
  usage_p90: number | null
  headroom_p10: number | null
  headroom_p50: number | null
  headroom_p90: number | null
  burn_rate: number | null
  confidence: string
  why: string
}

/** `audit`: changes of the control log, secrets masked. */
interface AuditRow extends LogPositionColumns {
  change_id: string
  at: string
  by: string
  kind: string
  key: string
  /** 0 where there was none before. */
  expected_version: number
  version: number
  /** JSON of the new value, '' when the key was removed. */
  value: string
  reason: string
}

/** `writer_fence`: the highest (epoch, owner) of a partition may write. */
interface WriterFenceRow {
  topic: string
  partition: number
  epoch: number
  owner: string
  taken_at: string
}

/** Rows of each table; its keys are the tables' names. */
export interface StoreTables {
  calls: CallRow
  rejections: RejectionRow
  replays: ReplayRow
  decisions: DecisionRow
  forecasts: ForecastRow
  audit: AuditRow
  writer_fence: WriterFenceRow
}
