/** What a dialect makes of one raw input, before anything is checked: a draft of the record, or a refusal. */
import type { CallRecord, RejectionReason } from '../call-record.ts'

/** Fields of a record that a dialect may fill. */
export type DraftField = Exclude<keyof CallRecord, 'callId' | 'arrivedAtMs' | 'dialect'>

/**
 * A record as its gateway tells it. Values are whatever was found, `null` where there was nothing: `normalize.ts` checks
 * the whole record once. Beside the record's fields: the raw credential or its id, and the end for gateways that log the end.
 */
export type Draft = Record<DraftField, unknown> & {
  kind: 'draft'
  /** Raw key of the caller; fingerprinted before anything else happens. */
  credential: unknown
  /** The gateway's own id of the caller's credential, which `keys` may map to a consumer. */
  credentialId: unknown
  /** End of the call, used where `startedAtMs` is unknown: the start is the end minus `latencyMs`. */
  endedAtMs: unknown
  /** The dialect that was recognized, where the delivery's own is only a guess. */
  dialect: string | null
}

/** Why a raw input is no draft. */
export interface Refusal {
  kind: 'refusal'
  reason: RejectionReason
  /** Names the field and the value, with nothing secret in it. */
  message: string
  /** Raw credentials that were found in the input and must not be kept. */
  secrets: readonly string[]
  /** Ids of credentials that were found: no secrets, whatever the names of their fields say. */
  ids?: readonly string[]
  /** The input may hold a credential that could not be told apart: it must not be kept at all. */
  isInputSecret?: boolean
  /** The input is only the beginning of what came. */
  isInputCut?: boolean
}

/** A raw input that is no call and need not be one: a span of something else, a line about the gateway itself. */
export interface Skip {
  kind: 'skip'
}
export const SKIP: Skip = { kind: 'skip' }

export type Decoded = Draft | Refusal | Skip

/**
 * Turns one raw input (a JSON value, the text of a line, or the fields of a CSV line) into a draft. Pure and quick;
 * never throws.
 */
export type Decode = (raw: unknown) => Decoded

/** What a dialect may know of the file or body that its inputs come from. */
export interface DecodeContext {
  /** Name of the file without folder and endings, `null` where there is no file. */
  fileStem: string | null
  /** Names of the columns, `null` where the inputs are no CSV. */
  columns: readonly string[] | null
  /** IANA name of the zone of times that name none. */
  timezone: string
}

/** Nothing is known of where the inputs come from. */
export const NO_CONTEXT: DecodeContext = { fileStem: null, columns: null, timezone: 'UTC' }

/** How raw inputs follow each other in a file or a body. */
type Framing =
  | { kind: 'json' }
  /** Lines of text. A line that is JSON is decoded as the value that it is, behind whatever prefix syslog gave it. */
  | { kind: 'text' }
  /** `columns`: their names, or `null` when the first line has them. */
  | { kind: 'csv'; delimiter: string; columns: readonly string[] | null }

/** A shape in which a gateway writes calls. */
export interface Dialect {
  name: string
  framing: Framing
  /** Differs when the same input may become another draft, so that an import knows that it must begin anew. */
  definition: string
  /** Inputs hold credentials under names that `redact.ts` does not know: what cannot be read cannot be kept. */
  hasUnnamedSecrets: boolean
  /** The raw inputs that one JSON document holds. Absent: the items of an array, else the document itself. */
  unwrap?(document: unknown): readonly unknown[]
  /** Throws `DialectError` when the file as a whole cannot be read this way. */
  open(context: DecodeContext): Decode
}

/** A whole file or body that does not fit its dialect, so that no call of it could be read. */
export class DialectError extends Error {
  readonly code: 'COLUMN_MISSING' | 'FILE_NAME_NEEDED'

  constructor(code: DialectError['code'], message: string) {
    super(message)
    this.name = 'DialectError'
    this.code = code
  }
}

/** A draft in which nothing is known yet; every draft has all fields in this order, which keeps them fast. */
export const emptyDraft = (): Draft => ({
  kind: 'draft',
  credential: null,
  credentialId: null,
  endedAtMs: null,
  dialect: null,
  requestId: null,
  startedAtMs: null,
  tenant: null,
  consumer: null,
  gateway: null,
  method: null,
  host: null,
  route: null,
  service: null,
  provider: null,
  model: null,
  providerKey: null,
  status: null,
  outcome: null,
  latencyMs: null,
  upstreamLatencyMs: null,
  requestBytes: null,
  responseBytes: null,
  inputTokens: null,
  cachedInputTokens: null,
  outputTokens: null,
  totalTokens: null,
  costMicros: null,
  upstreamLimits: null,
  decisionId: null,
  clientIp: null,
  labels: null,
})

export const refusal = (reason: RejectionReason, message: string, secrets: readonly string[] = []): Refusal => ({
  kind: 'refusal',
  reason,
  message,
  secrets,
})
