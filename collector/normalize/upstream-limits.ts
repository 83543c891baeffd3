/**
 * What an upstream says of its limits in the headers of a response: the conventions of AI providers, the drafts of IETF's
 * `RateLimit` fields in all their shapes, and what everybody wrote before. Limits of the gateway itself are no business of
 * these: a dialect hands over the headers of an answer that came from upstream.
 */
import { type CallRecord, DURATION_MS_MAX, LABEL_NAME_CHARACTERS_MAX } from '../call-record.ts'
import type { Draft } from './draft.ts'
import { countOf, goDurationMs, numberOf } from './fields.ts'
import type { HeaderReader } from './headers.ts'
import { parseIso } from './time.ts'

export type UpstreamLimits = NonNullable<CallRecord['upstreamLimits']>
type UpstreamLimit = UpstreamLimits['units'][string]

const INSTANT_MS_MAX = 4_102_444_800_000
const FIELD_CHARACTERS_MAX = 2048
/** Each may have a unit of its own, of which a record holds few. */
const POLICIES_MAX = 8

interface Group {
  /** The unit as quotas name it. */
  unit: string
  remaining: string
  limit: string
  reset: string
}

const group = (unit: string, nameOf: (part: string) => string): Group => ({
  ...{ unit, remaining: nameOf('remaining') },
  ...{ limit: nameOf('limit'), reset: nameOf('reset') },
})

/**
 * Headers of their own for each number, the more exact ones first: the first that speaks of a unit holds. OpenAI, Azure,
 * Groq, Fireworks and LiteLLM; Cerebras and Mistral, which name the window; Anthropic; Together; everybody else.
 */
const GROUPS: readonly Group[] = [
  group('requests', part => `x-ratelimit-${part}-requests`),
  group('total_tokens', part => `x-ratelimit-${part}-tokens`),
  group('total_tokens', part => `x-ratelimit-${part}-project-tokens`),
  group('input_tokens', part => `x-ratelimit-${part}-input-tokens`),
  group('output_tokens', part => `x-ratelimit-${part}-output-tokens`),
  group('input_tokens', part => `x-ratelimit-${part}-tokens-prompt`),
  group('output_tokens', part => `x-ratelimit-${part}-tokens-generated`),
  group('requests', part => `x-ratelimit-${part}-requests-day`),
  group('total_tokens', part => `x-ratelimit-${part}-tokens-minute`),
  group('requests', part => `x-ratelimit-${part}-req-minute`),
  group('requests', part => `anthropic-ratelimit-requests-${part}`),
  group('total_tokens', part => `anthropic-ratelimit-tokens-${part}`),
  group('input_tokens', part => `anthropic-ratelimit-input-tokens-${part}`),
  group('output_tokens', part => `anthropic-ratelimit-output-tokens-${part}`),
  group('total_tokens', part => `x-tokenlimit-${part}`),
  group('requests', part => `x-ratelimit-${part}`),
  group('total_tokens', part => `ratelimitbysize-${part}`),
  group('requests', part => `ratelimit-${part}`),
]

/**
 * The limits in the headers of an upstream's answer at `atMs` (the end of the call, Unix milliseconds), `null` where they
 * say nothing. A header that makes no sense is left out, since it is a hint.
 */
export function upstreamLimitsOf(header: HeaderReader, atMs: number): UpstreamLimits | null {
  const units: Record<string, UpstreamLimit> = {}
  addPolicies(header, atMs, units)
  for (const { unit, remaining, limit, reset } of GROUPS) {
    const left = header(remaining)
    if (left === null || Object.hasOwn(units, unit)) continue
    put(units, unit, {
      limit: amountOf(header(limit)),
      remaining: amountOf(left),
      resetAtMs: resetAtMsOf(header(reset), atMs),
    })
  }
  const retryAfterMs = retryAfterMsOf(header, atMs)
  return retryAfterMs === null && Object.keys(units).length === 0 ? null : { units, retryAfterMs }
}

/** Puts the limits in the headers of an upstream's answer into a draft that has the times of its call. */
export function putUpstreamLimits(draft: Draft, header: HeaderReader): void {
  const { startedAtMs, latencyMs, endedAtMs } = draft
  const atMs = typeof endedAtMs === 'number' ? endedAtMs : numberOr0(startedAtMs) + numberOr0(latencyMs)
  draft.upstreamLimits = upstreamLimitsOf(header, atMs)
}

/** A time that is none refuses its record, and until then may be an object that nothing can make a number of. */
const numberOr0 = (value: unknown) => (typeof value === 'number' ? value : 0)

/** A limit may say nothing: Azure writes -1 where it does not know. */
function put(units: Record<string, UpstreamLimit>, unit: string, limit: UpstreamLimit): void {
  if (limit.limit !== null || limit.remaining !== null) units[unit] = limit
}

/** The first whole number of `100` or `100, 100;w=60`. */
function amountOf(text: string | null): number | null {
  if (text === null) return null
  const number = Number(/^\s*(\d{1,16}(?:\.\d{1,16})?)\s*(?:$|[,;])/.exec(text)?.[1] ?? Number.NaN)
  return number <= Number.MAX_SAFE_INTEGER ? Math.floor(number) : null
}

const EPOCH_MS_MIN = 1e12
const EPOCH_SECONDS_MIN = 1e9

/** A reset has no standard: seconds from now (-1 is unknown), Unix seconds or milliseconds, a Go duration, a date. */
function resetAtMsOf(text: string | null, atMs: number): number | null {
  if (text === null) return null
  const number = numberOf(text)
  const instantMs = number === null ? instantMsOf(text, atMs) : instantOfNumber(number, atMs)
  return instantMs !== null && instantMs >= 0 && instantMs <= INSTANT_MS_MAX ? Math.round(instantMs) : null
}

function instantOfNumber(number: number, atMs: number): number | null {
  if (number < 0) return null
  if (number >= EPOCH_MS_MIN) return number
  return number >= EPOCH_SECONDS_MIN ? number * 1000 : atMs + number * 1000
}

function instantMsOf(text: string, atMs: number): number | null {
  const durationMs = goDurationMs(text)
  return durationMs === null ? (parseIso(text) ?? httpDateMs(text)) : atMs + durationMs
}

const HTTP_DATE = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/

function httpDateMs(text: string): number | null {
  const instantMs = HTTP_DATE.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(instantMs) ? null : instantMs
}

/** RFC 9110 section 10.2.3, and OpenAI's and Azure's header in milliseconds, which is the more exact one. */
function retryAfterMsOf(header: HeaderReader, atMs: number): number | null {
  const milliseconds = countOf(header('retry-after-ms'))
  const text = milliseconds === null ? header('retry-after') : null
  const seconds = countOf(text)
  const dateMs = text === null || seconds !== null ? null : httpDateMs(text)
  const waitMs = milliseconds ?? (seconds === null ? null : seconds * 1000) ?? (dateMs === null ? null : dateMs - atMs)
  return waitMs === null || !(waitMs <= DURATION_MS_MAX) ? null : Math.max(0, waitMs)
}

const ITEM = /"((?:[^"\\]|\\.){0,128})"((?:\s*;\s*[a-z*][\w.*-]*=(?:"[^"]*"|:[^:]*:|[^\s,;"]+))*)/g
const PARAMETER = /;\s*([a-z*][\w.*-]*)=("[^"]*"|[^\s,;"]+)/g
const UNITS_OF_POLICIES: ReadonlyMap<string, string> = new Map([
  ['requests', 'requests'],
  ['content-bytes', 'bytes'],
  ['concurrent-requests', 'concurrent_requests'],
  ['tokens', 'total_tokens'],
])
const UNIT = /^"([a-z][\w.-]*)"$/i
const TOKENS = /(?:^|[-_ ])(?:(input|output)[-_ ])?tokens?\b/i

interface Policy {
  unit: string | null
  limit: number | null
  remaining: number | null
  resetAtMs: number | null
}

/**
 * The `RateLimit` field: `"burst";r=42;t=17` with `RateLimit-Policy: "burst";q=100;w=60` since draft 8 of
 * draft-ietf-httpapi-ratelimit-headers, `limit=100, remaining=42, reset=17` in draft 7. Of several policies of one unit
 * the one with the least left is kept.
 */
function addPolicies(header: HeaderReader, atMs: number, units: Record<string, UpstreamLimit>): void {
  const field = header('ratelimit')
  if (field === null || field.length > FIELD_CHARACTERS_MAX) return
  if (!field.includes('"')) {
    put(units, 'requests', draft7LimitOf(field, atMs))
    return
  }
  const stated = policiesOf(header('ratelimit-policy')?.slice(0, FIELD_CHARACTERS_MAX) ?? '', atMs)
  for (const [name, { remaining, resetAtMs }] of policiesOf(field, atMs)) {
    const policy = stated.get(name)
    const unit = policy?.unit ?? unitOfName(name)
    const known = units[unit]?.remaining ?? null
    if (known !== null && (remaining === null || remaining >= known)) continue
    put(units, unit, { limit: policy?.limit ?? null, remaining, resetAtMs })
  }
}

function draft7LimitOf(field: string, atMs: number): UpstreamLimit {
  const parts = new Map(Array.from(field.matchAll(/(\w+)=([\d.]+)/g), ([, name = '', value = '']) => [name, value]))
  const part = (name: string) => parts.get(name) ?? null
  return {
    limit: amountOf(part('limit')),
    remaining: amountOf(part('remaining')),
    resetAtMs: resetAtMsOf(part('reset'), atMs),
  }
}

function policiesOf(field: string, atMs: number): Map<string, Policy> {
  const policies = new Map<string, Policy>()
  for (const [, name = '', parameters = ''] of field.matchAll(ITEM)) {
    const policy: Policy = { unit: null, limit: null, remaining: null, resetAtMs: null }
    for (const [, parameter, value = ''] of parameters.matchAll(PARAMETER)) {
      if (parameter === 'q') policy.limit = amountOf(value)
      if (parameter === 'r') policy.remaining = amountOf(value)
      if (parameter === 't') policy.resetAtMs = resetAtMsOf(value, atMs)
      if (parameter === 'qu') policy.unit = unitOf(UNIT.exec(value)?.[1] ?? null)
    }
    policies.set(name, policy)
    if (policies.size === POLICIES_MAX) break
  }
  return policies
}

const unitOf = (name: string | null) =>
  name === null ? null : (UNITS_OF_POLICIES.get(name) ?? name.slice(0, LABEL_NAME_CHARACTERS_MAX))

/** No unit is registered for tokens, so policies are named for them. */
function unitOfName(name: string): string {
  const match = TOKENS.exec(name)
  return match === null ? 'requests' : `${match[1]?.toLowerCase() ?? 'total'}_tokens`
}
