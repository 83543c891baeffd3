/** The dialect of whoever writes the record's own names: what `POST /v1/calls` takes without a mapping. */
import Type from 'typebox'
import { CallRecord } from '../call-record.ts'
import { type Decode, type Dialect, emptyDraft, type Refusal, refusal } from './draft.ts'
import { shown } from './redact.ts'

const CREDENTIAL_CHARACTERS_MAX = 8192

const { startedAtMs, ...optional } = Type.Omit(CallRecord, ['callId', 'arrivedAtMs', 'dialect']).properties

/** What a sender writes; only the start is needed. Documentation: drafts are checked as records. */
export const CanonicalCall = Type.Object(
  {
    startedAtMs,
    ...Type.Partial(Type.Object(optional)).properties,
    credential: Type.Optional(
      Type.String({
        maxLength: CREDENTIAL_CHARACTERS_MAX,
        description: 'Raw key of the caller, where `consumer` is unknown; only its fingerprint is kept.',
      }),
    ),
  },
  {
    additionalProperties: false,
    $id: 'Call',
    description: 'One call through a gateway. Absent means unknown, which is not 0.',
  },
)

const FIELDS = new Set(Object.keys(CanonicalCall.properties))
const OURS = new Set(['callId', 'arrivedAtMs', 'dialect'])

export const canonical: Dialect = {
  name: 'canonical',
  framing: { kind: 'json' },
  definition: 'canonical',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    return refusal('unreadable', 'A call is a JSON object.')
  }
  for (const field in raw) if (!FIELDS.has(field)) return unknownField(field, raw)
  if ('credential' in raw && !isCredential(raw.credential)) {
    const message = `credential: (credential) is not text of at most ${CREDENTIAL_CHARACTERS_MAX} characters.`
    return { ...refusal('invalid_field', message), isInputSecret: true }
  }
  return Object.assign(emptyDraft(), raw)
}

const isCredential = (value: unknown) =>
  value === null || (typeof value === 'string' && value.length <= CREDENTIAL_CHARACTERS_MAX)

function unknownField(field: string, raw: object): Refusal {
  const secret = 'credential' in raw && typeof raw.credential === 'string' ? [raw.credential] : []
  if (OURS.has(field))
    return refusal('unknown_field', `${shown(field)} is set by Quotacast; an id of yours is \`requestId\`.`, secret)
  return refusal('unknown_field', `There is no field ${shown(field)}; further dimensions go into \`labels\`.`, secret)
}
