/**
 * Who called: the one place that turns a raw credential into its fingerprint and fingerprints, or a gateway's own ids,
 * into a consumer and its tenant. Normalizing and every door of the limiter use it, so that a check and the record of
 * the same call name the same consumer.
 */
import { createHmac } from 'node:crypto'
import Type, { type Static } from 'typebox'
import { TEXT_CHARACTERS_MAX } from './call-record.ts'

const FINGERPRINT_HEX_DIGITS = 24
const KEYS_MAX = 100_000
const IDS_PER_KEY_MAX = 64

const name = (description: string) => Type.String({ minLength: 1, maxLength: TEXT_CHARACTERS_MAX, description })

export const KeyEntry = Type.Object(
  {
    ids: Type.Array(name('A fingerprint (`key:…`) or the id that a gateway gives to the credential.'), {
      minItems: 1,
      maxItems: IDS_PER_KEY_MAX,
      description: 'Everything that stands for this credential in call logs and checks.',
    }),
    consumer: name('The consumer that all of these are.'),
    tenant: Type.Optional(name('Its tenant; absent leaves what the record or the check says.')),
  },
  { additionalProperties: false },
)
export type KeyEntry = Static<typeof KeyEntry>

/** The config section `keys`. */
export const KeyOptions = Type.Array(KeyEntry, {
  maxItems: KEYS_MAX,
  default: [],
  description: 'Which credentials are one consumer.',
})

/** What a record or a check says of its caller. */
interface Claim {
  /** The raw credential. */
  credential: string | null
  /** Its fingerprint, where only that is known. */
  credentialMark?: string | null
  /** The gateway's own id of it. */
  credentialId?: string | null
  consumer: string | null
  tenant: string | null
}

interface Caller {
  consumer: string | null
  tenant: string | null
}

export interface Identity {
  /** `key:` and 24 hex digits of HMAC-SHA256 under the newest key; a scheme such as `Bearer ` does not count. 2 µs. */
  fingerprint(rawKey: string): string
  /** The same for a client's address: `ip:` and 24 hex digits. */
  addressFingerprint(address: string): string
  /** The text, or its fingerprint where it is a whole credential by its shape. */
  nameOf(text: string): string
  /** The caller that `keys` gives to a fingerprint or a gateway's id. */
  resolve(id: string): Caller | null
  /**
   * The caller of a record or a check. An entry of `keys` holds if the claim names no other tenant; the credential is
   * looked up before its id, and that before the consumer's name. Without an entry a given consumer stays, else the
   * credential's fingerprint is the consumer, else its id. What looks like a secret counts as a credential.
   */
  identify(claim: Claim): Caller
}

/** A config under which one id would be two consumers. */
export class IdentityError extends Error {
  readonly code = 'KEY_AMBIGUOUS'

  constructor(id: string, consumers: readonly [string, string]) {
    // Somebody may have written a raw key where its fingerprint belongs.
    const named = isFingerprint(id) ? `the id ${id}` : 'an id'
    super(
      `keys: ${named} belongs to two consumers, ${consumers.map(consumer => JSON.stringify(consumer)).join(' and ')}`,
    )
    this.name = 'IdentityError'
  }
}

/**
 * Shapes of credentials that are told from names: scheme prefixes, vendors' key prefixes, JWTs. All but JWTs hold a digit.
 * None looks far ahead from where it may begin, or a text of nothing but beginnings would take minutes.
 */
export const SECRET_SOURCE = [
  String.raw`\b(?:bearer|basic|apikey|api-key|token)\s+(?=[\w.~+/=-]*\d)[\w.~+/=-]{8,}`,
  String.raw`\b(?:(?:sk|rk|xai|nvapi|glpat|pplx|csk|tvly)-|(?:sk|rk|gsk|hf|ghp|gho|ghs|r8|fw)_)(?=[\w-]{0,64}\d)[\w-]{20,}`,
  String.raw`\bAIza[\w-]{30,}`,
  String.raw`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`,
  String.raw`(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`,
].join('|')
const secretPattern = new RegExp(`^(?:${SECRET_SOURCE})$`, 'i')
const SECRET_CHARACTERS_MIN = 14

/** True for text that is a whole credential by its shape. */
export const looksLikeSecret = (text: string): boolean =>
  text.length >= SECRET_CHARACTERS_MIN && secretPattern.test(text)

const FINGERPRINT = new RegExp(`^key:[0-9a-f]{${FINGERPRINT_HEX_DIGITS}}$`)
/** True for what `fingerprint` answers. */
export const isFingerprint = (text: string): boolean => FINGERPRINT.test(text)

const withoutScheme = (rawKey: string) => rawKey.trim().replace(/^(?:bearer|basic|apikey|api-key|token)\s+/i, '')

/**
 * Throws `IdentityError` when two entries of `keys` claim one id. `fingerprintKeys` is newest first: with an overlap,
 * credentials whose old fingerprint is listed in `keys` are still found.
 */
export function createIdentity(options: { fingerprintKeys: readonly string[]; keys: readonly KeyEntry[] }): Identity {
  const [newest, ...older] = options.fingerprintKeys
  if (newest === undefined) throw new TypeError('an identity needs a fingerprint key')
  const callers = indexKeys(options.keys)
  const digest = (key: string, text: string) =>
    createHmac('sha256', key).update(text).digest('hex').slice(0, FINGERPRINT_HEX_DIGITS)
  const fingerprintUnder = (key: string, rawKey: string) => `key:${digest(key, withoutScheme(rawKey))}`
  const fingerprint = (rawKey: string) => fingerprintUnder(newest, rawKey)

  const callerOf = (id: string, tenant: string | null): Caller | null => {
    const caller = callers.get(id) ?? null
    return caller === null || tenant === null || caller.tenant === null || caller.tenant === tenant ? caller : null
  }
  /** `credential` is `null` where nothing but its fingerprint is known. */
  const callerOfMark = (mark: string, credential: string | null, tenant: string | null) => {
    let caller = callerOf(mark, tenant)
    if (credential === null) return caller
    for (const key of older) caller ??= callerOf(fingerprintUnder(key, credential), tenant)
    return caller
  }

  return {
    fingerprint,
    addressFingerprint: address => `ip:${digest(newest, `ip ${address}`)}`,
    nameOf: text => (looksLikeSecret(text) ? fingerprint(text) : text),
    resolve: id => callers.get(id) ?? null,
    identify({ credential: given, credentialMark = null, credentialId = null, consumer: named, tenant }) {
      const names = [credentialId, named].map(name => (name !== null && looksLikeSecret(name) ? null : name))
      const [id = null, consumer = null] = names
      const credential = given ?? (consumer === null ? named : null) ?? (id === null ? credentialId : null)
      const mark = credentialMark ?? (credential === null ? null : fingerprint(credential))
      const caller =
        (mark === null ? null : callerOfMark(mark, credential, tenant)) ??
        (id === null ? null : callerOf(id, tenant)) ??
        (consumer === null ? null : callerOf(consumer, tenant))
      return { consumer: caller?.consumer ?? consumer ?? mark ?? id, tenant: tenant ?? caller?.tenant ?? null }
    },
  }
}

function indexKeys(entries: readonly KeyEntry[]): Map<string, Caller> {
  const callers = new Map<string, Caller>()
  for (const { ids, consumer, tenant = null } of entries) {
    for (const id of ids) {
      const other = callers.get(id)
      if (other !== undefined && (other.consumer !== consumer || other.tenant !== tenant))
        throw new IdentityError(id, [other.consumer ?? '', consumer])
      callers.set(id, { consumer, tenant })
    }
  }
  return callers
}
