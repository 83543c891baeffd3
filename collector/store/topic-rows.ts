/** How the entries of the log's topics become rows: a parser, a table, an encoder each. Pure. */
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { REJECTION_INPUT_BYTES_MAX, type Rejection } from '../call-record.ts'
import type { LogTopic } from '../log/call-log.ts'
import { type ControlChange, parseControlChange } from '../log/control-change.ts'
import { type DecisionSums, parseDecisionSums } from '../log/decision-sums.ts'
import type { InsertTarget } from './insert.ts'

export interface TopicRows<T> {
  target: InsertTarget
  /** `null` for an entry that nobody can read: it becomes a rejection. */
  parse(value: string): T | null
  /** The row as one line of JSON, in the order of the target's columns. */
  toLine(value: T, offset: number): string
}

/** What is needed of a row to recognize it when it comes again. */
export interface RowKey {
  /** A UUID. */
  id: string
  tenant: string | null
  consumer: string | null
  startedAtMs: number
}

/** Rows that have an id: an entry that comes again is no other row. */
export interface IdentifiedRows<T> extends TopicRows<T> {
  keyOf(value: T): RowKey
}

/** An entry that nobody can read, as it is kept in `rejections`. The control log's holds secrets, so it is not kept. */
export const toUnreadable = (topic: LogTopic, value: string, nowMs: number): Rejection => ({
  callId: '',
  arrivedAtMs: nowMs,
  tenant: null,
  gateway: null,
  dialect: '',
  reason: 'unreadable_log_entry',
  message: `An entry of the log's topic ${topic} is not of the shape that this version knows`,
  input: topic === 'control' ? '' : value.slice(0, REJECTION_INPUT_BYTES_MAX),
  isWhole: false,
  source: '',
  restriction: null,
  shiftMs: 0,
  fileStem: null,
  columns: null,
})

/** The year 2100, as in every schema of the log: far below what a DateTime64 holds. */
const INSTANT_MS_MAX = 4_102_444_800_000
const nullableText = Type.Union([Type.String(), Type.Null()])
const RejectionEntry = Type.Object({
  callId: Type.String(),
  arrivedAtMs: Type.Integer({ minimum: 0, maximum: INSTANT_MS_MAX }),
  tenant: nullableText,
  gateway: nullableText,
  dialect: Type.String(),
  reason: Type.String(),
  message: Type.String(),
  input: Type.String(),
  // Entries of the version before lack these, and cannot be replayed.
  isWhole: Type.Optional(Type.Boolean()),
  source: Type.Optional(Type.String()),
  restriction: Type.Optional(nullableText),
  shiftMs: Type.Optional(Type.Integer()),
  fileStem: Type.Optional(nullableText),
  columns: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])),
})
type RejectionEntry = Omit<Static<typeof RejectionEntry>, 'columns'> & Partial<Pick<Rejection, 'columns'>>
const rejectionEntry = Compile(RejectionEntry)

/** Rows of `rejections` that came through `topic`: its own entries, or what could not be read of another's. */
export const createRejectionRows = (topic: LogTopic): TopicRows<RejectionEntry> => ({
  target: {
    table: 'rejections',
    columns: [
      { name: 'log_offset', type: 'UInt64' },
      { name: 'call_id', type: 'String' },
      { name: 'arrived_at', type: 'instant' },
      { name: 'tenant', type: 'String' },
      { name: 'gateway', type: 'String' },
      { name: 'dialect', type: 'String' },
      { name: 'reason', type: 'String' },
      { name: 'message', type: 'String' },
      { name: 'input', type: 'String' },
      { name: 'is_whole', type: 'Bool' },
      { name: 'source', type: 'String' },
      { name: 'restriction', type: 'String' },
      { name: 'shift_ms', type: 'Int64' },
      { name: 'file_stem', type: 'String' },
      { name: 'columns', type: 'Array(String)' },
    ],
    constants: { log_topic: topic },
  },
  parse: value => {
    const rejection = parseJson(value)
    return rejectionEntry.Check(rejection) ? rejection : null
  },
  toLine: (rejection, offset) =>
    toLine([
      offset,
      rejection.callId,
      rejection.arrivedAtMs,
      rejection.tenant ?? '',
      rejection.gateway ?? '',
      rejection.dialect,
      rejection.reason,
      rejection.message,
      rejection.input,
      rejection.isWhole ?? false,
      rejection.source ?? rejection.dialect,
      rejection.restriction ?? '',
      rejection.shiftMs ?? 0,
      rejection.fileStem ?? '',
      rejection.columns ?? [],
    ]),
})

export const decisionRows: IdentifiedRows<DecisionSums> = {
  keyOf: ({ sumId, tenant, consumer, minuteMs }) => ({ id: sumId, tenant, consumer, startedAtMs: minuteMs }),
  target: {
    table: 'decisions',
    columns: [
      { name: 'log_offset', type: 'UInt64' },
      { name: 'sum_id', type: 'UUID' },
      { name: 'minute', type: 'instant' },
      { name: 'quota', type: 'String' },
      { name: 'subject', type: 'String' },
      { name: 'tenant', type: 'String' },
      { name: 'consumer', type: 'String' },
      { name: 'unit', type: 'String' },
      { name: 'allowed', type: 'UInt64' },
      { name: 'denied', type: 'UInt64' },
      { name: 'spent', type: 'Float64' },
      { name: 'denied_cost', type: 'Float64' },
    ],
  },
  parse: parseDecisionSums,
  toLine: (sums, offset) =>
    toLine([
      offset,
      sums.sumId,
      sums.minuteMs,
      sums.quota,
      JSON.stringify(sums.subject),
      sums.tenant ?? '',
      sums.consumer ?? '',
      sums.unit,
      sums.allowed,
      sums.denied,
      sums.spent,
      sums.deniedCost,
    ]),
}

export const auditRows: TopicRows<ControlChange> = {
  target: {
    table: 'audit',
    columns: [
      { name: 'log_offset', type: 'UInt64' },
      { name: 'change_id', type: 'String' },
      { name: 'at', type: 'instant' },
      { name: 'by', type: 'String' },
      { name: 'kind', type: 'String' },
      { name: 'key', type: 'String' },
      { name: 'expected_version', type: 'UInt64' },
      { name: 'version', type: 'UInt64' },
      { name: 'value', type: 'String' },
      { name: 'reason', type: 'String' },
    ],
  },
  parse: value => {
    const change = parseControlChange(value)
    const isStorable =
      change !== null &&
      change.atMs <= INSTANT_MS_MAX &&
      Number.isSafeInteger(change.version) &&
      Number.isSafeInteger(change.expectedVersion)
    return isStorable ? change : null
  },
  toLine: (change, offset) =>
    toLine([
      offset,
      change.changeId,
      change.atMs,
      change.by,
      change.kind,
      change.key,
      change.expectedVersion,
      change.version,
      change.value === null ? '' : JSON.stringify(change.value, maskSecret),
      change.reason ?? '',
    ]),
}

const SECRET_NAME = /hash|secret|password|credential|signature|^token$|privateKey/i
const MASK = '***'

const maskSecret = (name: string, value: unknown): unknown => (SECRET_NAME.test(name) && value !== null ? MASK : value)

/** `undefined` for what is no JSON. */
const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * One line of JSON. Half a surrogate pair, which JSON can name and UTF-8 cannot hold, becomes U+FFFD: the store would
 * refuse the whole batch for it, for ever.
 */
export const toLine = (row: readonly unknown[]): string => {
  const line = JSON.stringify(row)
  return line.includes('\\ud') ? JSON.stringify(toWellFormed(row)) : line
}

const toWellFormed = (value: unknown): unknown => {
  if (typeof value === 'string') return value.toWellFormed()
  if (Array.isArray(value)) return value.map(toWellFormed)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name.toWellFormed(), toWellFormed(item)]))
  }
  return value
}
