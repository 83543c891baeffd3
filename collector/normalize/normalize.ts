/**
 * Raw inputs become call records or rejections. A dialect (one file each: `canonical.ts`, and the mappings of the config)
 * makes a draft of an input; here credentials become fingerprints, callers consumers and paths routes, the whole record
 * is checked once, and what can be computed is. A further dialect is one more file and one more line in `dialects.ts`.
 */
import { type CallRecord, isCallRecord, type Rejection, type RejectionReason } from '../call-record.ts'
import { type Identity, looksLikeSecret } from '../identity.ts'
import type { Prices } from '../prices.ts'
import { deliveryCallId } from './call-id.ts'
import { canonical } from './canonical.ts'
import type { ClientIpPolicy } from './client-ip.ts'
import { type Decoded, type Dialect, type Draft, type Refusal, refusal } from './draft.ts'
import { withoutExcess } from './excess.ts'
import { invalidField } from './invalid-field.ts'
import { dialectsOf, type MappingOptions } from './mapping.ts'
import { type Delivery, recordOf, startedAtOf, type UncheckedRecord } from './record.ts'
import { keptInput, shown } from './redact.ts'
import { createRouteBook } from './route.ts'
import { createRoutePatterns, type RoutePatternOptions } from './route-patterns.ts'

export interface NormalizerOptions {
  identity: Identity
  prices: Prices
  clientIp: ClientIpPolicy
  mappings: MappingOptions
  /** Routes of paths that no template names. */
  routes: RoutePatternOptions
}

export interface Normalizer {
  /** The built-in dialect or the mapping of that name. */
  dialect(name: string): Dialect | undefined
  /** Whatever the input is, one or the other; never throws. 3 µs a record. */
  normalize(decoded: Draft | Refusal, delivery: Delivery, position: number): CallRecord | Rejection
}

export const isRejection = (result: CallRecord | Rejection): result is Rejection => 'reason' in result

/** Start of a draft's call in Unix milliseconds before any shift, `null` for one that cannot become a record. */
export function startedAtMsOf(decoded: Decoded): number | null {
  if (decoded.kind !== 'draft') return null
  const startedAt = startedAtOf(decoded)
  return typeof startedAt === 'number' ? startedAt : null
}

/** Throws `MappingError` when a mapping makes no sense. */
export function createNormalizer(options: NormalizerOptions): Normalizer {
  const { identity, prices, clientIp } = options
  const dialects = dialectsOf(options.mappings)
  const means = { identity, clientIp, routes: createRouteBook(createRoutePatterns(options.routes)) }

  const reject = (refused: Refusal, delivery: Delivery, position: number, record?: UncheckedRecord): Rejection => {
    const { source, dialect, arrivedAtMs, restriction, shiftMs, fileStem, columns } = delivery
    const text = refused.isInputSecret === true ? null : delivery.inputAt(position)
    const { input, isWhole } =
      text === null
        ? { input: '', isWhole: false }
        : keptInput(text, refused.secrets, identity.fingerprint, refused.ids)
    return {
      callId: delivery.replayedId ?? deliveryCallId(delivery.keyAt(position), restriction),
      arrivedAtMs,
      tenant: restriction ?? nameOf(record?.tenant) ?? delivery.tenant,
      gateway: nameOf(record?.gateway) ?? delivery.gateway,
      dialect,
      reason: refused.reason,
      message: refused.message,
      input,
      isWhole: isWhole && refused.isInputCut !== true && delivery.isContextCut !== true,
      ...{ source, restriction, shiftMs, fileStem, columns },
    }
  }

  return {
    dialect: name => dialects.get(name),
    normalize(decoded, delivery, position) {
      if (decoded.kind === 'refusal') return reject(decoded, delivery, position)
      const record = recordOf(decoded, delivery, position, means)
      const rejectFor = (reason: RejectionReason, message: string) =>
        reject({ ...refusal(reason, message), ...credentialsOf(decoded) }, delivery, position, record)
      if (record.startedAtMs === null) return rejectFor('missing_field', 'startedAtMs is missing.')
      const checked = checkedOf(record)
      if (checked === null) {
        const { reason, message } = invalidField(record)
        return rejectFor(reason, message)
      }
      const problem = contradiction(checked, delivery.restriction)
      return problem === null ? completed(checked, prices) : rejectFor(problem.reason, problem.message)
    },
  }
}

/** Who writes the record's own names is told what is too long; what others write is shortened. */
function checkedOf(record: UncheckedRecord): CallRecord | null {
  if (isCallRecord(record)) return record
  const shortened = record.dialect === canonical.name ? record : withoutExcess(record)
  return isCallRecord(shortened) ? shortened : null
}

/** What a rejection of a draft must not keep, and what it may. */
function credentialsOf({ credential, credentialId }: Draft): Pick<Refusal, 'secrets' | 'ids'> {
  const isId = typeof credentialId === 'string' && !looksLikeSecret(credentialId)
  return { secrets: typeof credential === 'string' ? [credential] : [], ids: isId ? [credentialId] : [] }
}

const NAME_CHARACTERS_MAX = 512
const nameOf = (value: unknown) =>
  typeof value === 'string' && value !== '' && value.length <= NAME_CHARACTERS_MAX ? value : null

/** What no single field shows. */
function contradiction(record: CallRecord, restriction: string | null): Refusal | null {
  if (restriction !== null && record.tenant !== restriction) {
    // Whose call it is may come from `keys`, and is then no business of the sender.
    return refusal('tenant_forbidden', `tenant: this token writes only calls of ${shown(restriction)}.`)
  }
  if (
    record.cachedInputTokens !== null &&
    record.cachedInputTokens > (record.inputTokens ?? Number.POSITIVE_INFINITY)
  ) {
    const { cachedInputTokens, inputTokens } = record
    return refusal(
      'invalid_field',
      `cachedInputTokens: ${cachedInputTokens} is more than inputTokens (${inputTokens}).`,
    )
  }
  return null
}

/** The totals and costs that follow from the rest. */
function completed(record: CallRecord, prices: Prices): CallRecord {
  // A known part is the least that the call took, and all of it where the other does not exist (embeddings).
  if (record.totalTokens === null && (record.inputTokens !== null || record.outputTokens !== null)) {
    record.totalTokens = Math.min(Number.MAX_SAFE_INTEGER, (record.inputTokens ?? 0) + (record.outputTokens ?? 0))
  }
  if (record.costMicros === null) {
    const costMicros = prices.costMicros(record)
    record.costMicros = costMicros === null ? null : Math.min(Number.MAX_SAFE_INTEGER, costMicros)
  }
  return record
}
