/**
 * The canonical row: one call through a gateway, whatever gateway wrote it. The schema is the type, the validator and
 * the documentation at once. Names follow OpenTelemetry's semantic conventions where one exists. Unknown is `null`,
 * never 0: an unknown cost is not free, an unknown token count is not small.
 */
import Type, { type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import Value from 'typebox/value'

/** Longest value of an ordinary text field, in characters. */
export const TEXT_CHARACTERS_MAX = 512
/** Most further dimensions a record may carry. */
export const LABELS_MAX = 32
export const LABEL_NAME_CHARACTERS_MAX = 64
/** Pattern of the ids by which what comes again is recognized. */
export const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
export const LABEL_VALUE_CHARACTERS_MAX = 256
/** Longest id of a decision. */
export const DECISION_ID_CHARACTERS_MAX = 2048
/** Longest duration, milliseconds: 115 days. */
export const DURATION_MS_MAX = 1e10
/** Most units of which a provider's headers speak at once. */
const UPSTREAM_UNITS_MAX = 16

/** How a call ended, seen by whoever pays for the quota. */
export const OUTCOMES = ['ok', 'client_error', 'server_error', 'limited', 'exhausted', 'aborted'] as const
export type Outcome = (typeof OUTCOMES)[number]

const nullable = <T extends TSchema>(schema: T, description: string) =>
  Type.Union([schema, Type.Null()], { description })
const text = (description: string) =>
  nullable(Type.String({ minLength: 1, maxLength: TEXT_CHARACTERS_MAX }), description)
const count = (description: string) =>
  nullable(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), description)
const duration = (description: string) => nullable(Type.Number({ minimum: 0, maximum: DURATION_MS_MAX }), description)
const instant = (description: string) => Type.Integer({ minimum: 0, maximum: 4_102_444_800_000, description })

/** Keys by a pattern, because a `maxLength` of keys is not checked; `.` would let a key with a line break pass unseen. */
const Name = Type.String({ pattern: String.raw`^[\s\S]{0,${LABEL_NAME_CHARACTERS_MAX}}$` })

/** What one upstream rate-limit header group said when the call came back. */
const UpstreamLimit = Type.Object(
  {
    limit: count('Units per window that the provider allows.'),
    remaining: count('Units that were left after this call.'),
    resetAtMs: nullable(instant('When the provider refills.'), 'When the provider refills, Unix milliseconds.'),
  },
  { additionalProperties: false },
)

const UpstreamLimits = Type.Object(
  {
    units: Type.Record(Name, UpstreamLimit, { maxProperties: UPSTREAM_UNITS_MAX, additionalProperties: false }),
    retryAfterMs: duration('What the provider asked the caller to wait, milliseconds.'),
  },
  { additionalProperties: false },
)

export const CallRecord = Type.Object(
  {
    callId: Type.String({
      pattern: UUID,
      description: 'Same call, same id: resent calls are counted once.',
    }),
    requestId: text("The gateway's own id of the request; a check may carry it too."),
    startedAtMs: instant('Start of the call, Unix milliseconds.'),
    arrivedAtMs: instant('When Quotacast accepted the record, Unix milliseconds.'),
    tenant: text('The organisation that owns the quotas.'),
    consumer: text('The credential or application that called; a raw key appears only as its fingerprint (`key:…`).'),
    gateway: text('The gateway instance that wrote the call.'),
    dialect: Type.String({
      minLength: 1,
      maxLength: LABEL_NAME_CHARACTERS_MAX,
      description: 'The shape it was written in.',
    }),
    method: text('HTTP method.'),
    host: text('Host that was called.'),
    route: text('Route template, or the path without query with ids replaced (`/users/{id}`).'),
    service: text('Upstream service.'),
    provider: text('AI provider, as in `gen_ai.provider.name`.'),
    model: text('Model that answered.'),
    providerKey: text('Fingerprint or name of the upstream key that was used.'),
    status: nullable(Type.Integer({ minimum: 0, maximum: 999 }), 'Status the client saw.'),
    outcome: Type.Enum(OUTCOMES, {
      description:
        '`limited`: refused by a limit of the gateway or ours; `exhausted`: the provider said the quota is gone.',
    }),
    latencyMs: duration('Milliseconds as seen by the client of the gateway.'),
    upstreamLatencyMs: duration('Milliseconds spent upstream.'),
    requestBytes: count('Bytes received from the client.'),
    responseBytes: count('Bytes sent to the client.'),
    inputTokens: count('Prompt tokens, cached ones included.'),
    cachedInputTokens: count('Part of `inputTokens` that came from a cache.'),
    outputTokens: count('Generated tokens.'),
    totalTokens: count('All tokens of the call.'),
    costMicros: count('Millionths of the configured currency.'),
    upstreamLimits: nullable(UpstreamLimits, "The provider's rate-limit headers."),
    decisionId: nullable(
      Type.String({ minLength: 1, maxLength: DECISION_ID_CHARACTERS_MAX }),
      'Id of the decision that let the call pass.',
    ),
    clientIp: text('Client address, after the configured truncation.'),
    labels: Type.Record(Name, Type.String({ maxLength: LABEL_VALUE_CHARACTERS_MAX }), {
      maxProperties: LABELS_MAX,
      additionalProperties: false,
      description: 'Further dimensions; two of them can be made columns by config.',
    }),
  },
  { additionalProperties: false, $id: 'CallRecord' },
)
export type CallRecord = Static<typeof CallRecord>

const callRecord = Compile(CallRecord)
/** True when `value` is a whole canonical record. 0.3 µs. */
export const isCallRecord = (value: unknown): value is CallRecord => callRecord.Check(value)

/** A call record of the log, or `null` for what is none. */
export const parseCallRecord = (text: string): CallRecord | null => parseKnown(text, CallRecord, isCallRecord)

/**
 * One value of the log, `null` for what is no `schema`. Where collectors are upgraded one after the other, newer ones write
 * what those before them read: fields that only they know are left out, and the rest counts.
 */
export function parseKnown<T>(text: string, schema: TSchema, isOne: (value: unknown) => value is T): T | null {
  try {
    const value: unknown = JSON.parse(text)
    if (isOne(value)) return value
    const known = Value.Clean(schema, value)
    return isOne(known) ? known : null
  } catch {
    return null
  }
}

/** Why a call could not be normalized. A closed set: the reasons are metric labels. */
export const REJECTION_REASONS = [
  'unreadable',
  'missing_field',
  'invalid_field',
  'unknown_field',
  'too_long',
  'too_many_labels',
  'tenant_forbidden',
  'unreadable_log_entry',
] as const
export type RejectionReason = (typeof REJECTION_REASONS)[number]

/** Most characters of the input that a rejection keeps, so that it can be replayed after a fix. */
export const REJECTION_INPUT_BYTES_MAX = 64 * 1024

/** A call that could not be normalized. It never blocks its neighbours: it is stored, countable, and can be replayed. */
export interface Rejection {
  callId: string
  arrivedAtMs: number
  tenant: string | null
  gateway: string | null
  dialect: string
  reason: RejectionReason
  /** Names the field and the value, credentials already replaced. */
  message: string
  /** The input with credentials replaced by their fingerprints, cut at REJECTION_INPUT_BYTES_MAX. */
  input: string
  /** The input is all there but for secrets and prompts, so that it can be decoded again. */
  isWhole: boolean
  /** Name of the source that brought it. */
  source: string
  /** The only tenant that its sender may write, or `null` for all. */
  restriction: string | null
  /** By how much its times are moved. */
  shiftMs: number
  /** Name of its file without folder and endings. */
  fileStem: string | null
  /** Names of its columns, `null` where it is no line of a CSV. */
  columns: readonly string[] | null
}

/** What is needed of a rejection to decode its input again. */
export type KeptInput = Pick<
  Rejection,
  'callId' | 'gateway' | 'dialect' | 'input' | 'source' | 'restriction' | 'shiftMs' | 'fileStem' | 'columns'
>
