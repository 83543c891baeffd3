/**
 * Who is asking: where each door finds tenant, consumer and credential, in order, and what becomes of keys that nobody
 * knows. Raw credentials are fingerprinted at once.
 */
import Type, { type Static } from 'typebox'
import { TEXT_CHARACTERS_MAX } from '../../collector/call-record.ts'
import { type Identity, isFingerprint } from '../../collector/identity.ts'

const SOURCES_MAX = 16
/** Who calls without a known key, where such callers are one. */
const ANONYMOUS = 'anonymous'

const UNKNOWN_KEYS = ['allow', 'deny', 'anonymous'] as const

/** A section of the config for doors that know `kinds` of sources. */
function whoOptions(
  kinds: string,
  defaults: { tenant: string[]; consumer: string[]; credential: string[] },
  door: string,
) {
  const source = Type.String({ pattern: `^(?:${kinds})$`, maxLength: 256, description: 'Where it may be found.' })
  const sources = (what: keyof typeof defaults, description: string) =>
    Type.Array(source, {
      default: defaults[what],
      maxItems: SOURCES_MAX,
      description,
    })
  return Type.Object(
    {
      tenant: sources(
        'tenant',
        "Where the tenant is found, the first that is there; the token's own tenant stands for an absent one.",
      ),
      consumer: sources('consumer', 'Where the consumer is found, the first that is there.'),
      credential: sources(
        'credential',
        "Where the caller's credential is found when no consumer is. One that `keys` knows holds, else the first that is " +
          'there: name only what your API checks, or clients who send another one each time are somebody else each time.',
      ),
      unknownKeys: Type.Enum(UNKNOWN_KEYS, {
        default: 'allow',
        description:
          'What becomes of a caller without a name and without a credential that `keys` knows: `allow` counts each ' +
          'fingerprint for itself, `anonymous` all of them as one consumer, `deny` refuses them.',
      }),
    },
    { additionalProperties: false, default: {}, description: door },
  )
}

const CREDENTIAL_HEADERS = ['authorization', 'x-api-key', 'api-key', 'apikey'].map(name => `header:${name}`)
const NAME = '[^\\s:]+'

export const CallerOptions = Type.Object(
  {
    forwardAuth: whoOptions(
      `bearer|(?:header|query):${NAME}`,
      {
        tenant: ['header:x-quotacast-tenant'],
        consumer: ['header:x-quotacast-consumer'],
        credential: CREDENTIAL_HEADERS,
      },
      'Forward-auth: `bearer`, `header:NAME`, or `query:NAME` of the forwarded URI.',
    ),
    extAuthz: whoOptions(
      `bearer|(?:header|query|context):${NAME}`,
      // Headers are the client's own word; context extensions are what the gateway's config says.
      { tenant: ['context:tenant'], consumer: ['context:consumer'], credential: CREDENTIAL_HEADERS },
      "Envoy's ext_authz over gRPC: `context:NAME` (a context extension of the route), `bearer`, `header:NAME`, `query:NAME`.",
    ),
    rateLimitService: whoOptions(
      'descriptor:\\S+',
      { tenant: ['descriptor:tenant'], consumer: ['descriptor:consumer'], credential: ['descriptor:credential'] },
      "Envoy's rate limit service: `descriptor:KEY`, an entry of any descriptor.",
    ),
  },
  { additionalProperties: false, default: {}, description: 'How each door finds out who is asking.' },
)
export type CallerOptions = Static<typeof CallerOptions>
export type WhoOptions = CallerOptions['forwardAuth']

export interface Source {
  readonly kind: 'bearer' | 'header' | 'query' | 'context' | 'descriptor'
  readonly name: string
}

/** What a door says where it is asked for a source; `null` when it is not there. */
type Find = (source: Source) => string | null

export type Refusal = 'unknown_key' | 'other_tenant'

interface Caller {
  tenant: string | null
  consumer: string | null
  /** Why nobody is asked whether the call may pass: it may not. */
  refusal: Refusal | null
}

/** Tells the caller from what a door finds; `only` is the one tenant that the gateway may speak for, or `null`. */
export type ReadCaller = (find: Find, only: string | null) => Caller

/**
 * `credentialsOf` tells what a found text may hold. Clients may send further credentials, which nobody checks, so one that
 * `keys` knows holds before all others.
 */
export function createCallerReader(
  options: WhoOptions,
  identity: Identity,
  credentialsOf: (text: string) => readonly string[] = text => [text],
): ReadCaller {
  const [tenants, consumers, credentials] = [options.tenant, options.consumer, options.credential].map(parseSources)
  return (find, only) => {
    const named = nameOf(first(tenants, find))
    if (only !== null && named !== null && named !== only) {
      return { tenant: only, consumer: null, refusal: 'other_tenant' }
    }
    const given = nameOf(first(consumers, find))
    const claimed = { consumer: given, tenant: named ?? only }
    // Looked for in any case: of two by one name the gateway may have named the caller of one, and handed on the other.
    const found = all(credentials, find)
    const held = given === null ? found.flatMap(credentialsOf) : []
    const callers = held.map(credential => identity.identify({ credential, ...claimed }))
    const { tenant, consumer } =
      callers.find(isKnown) ?? callers[0] ?? identity.identify({ credential: null, ...claimed })
    if (options.unknownKeys === 'allow' || isKnown({ consumer })) {
      return { tenant, consumer, refusal: null }
    }
    if (options.unknownKeys === 'deny') return { tenant, consumer, refusal: 'unknown_key' }
    return { tenant, consumer: ANONYMOUS, refusal: null }
  }
}

/** Longer ones have no place in a record. */
const nameOf = (text: string | null) => text?.slice(0, TEXT_CHARACTERS_MAX) ?? null

/** A fingerprint stands for a credential that `keys` gives no consumer. */
const isKnown = ({ consumer }: Pick<Caller, 'consumer'>) => consumer !== null && !isFingerprint(consumer)

/** Header names are lower-case, as they arrive. */
export function parseSources(sources: readonly string[]): readonly Source[] {
  return sources.map(source => {
    const at = source.indexOf(':')
    if (at === -1) return { kind: 'bearer', name: '' }
    const kind = source.slice(0, at) as Source['kind']
    const name = source.slice(at + 1)
    return { kind, name: kind === 'header' ? name.toLowerCase() : name }
  })
}

function first(sources: readonly Source[] | undefined, find: Find): string | null {
  for (const source of sources ?? []) {
    const found = find(source)
    if (found !== null) return found
  }
  return null
}

const all = (sources: readonly Source[] | undefined, find: Find): string[] =>
  (sources ?? []).map(find).filter(found => found !== null)

const BEARER = /^bearer +(\S+)$/i

/** What HTTP headers and the URI of a call say. `header` answers `null` for one that is absent or empty. */
export function findInRequest(
  { kind, name }: Source,
  header: (name: string) => string | null,
  uri: string | null,
): string | null {
  switch (kind) {
    case 'header':
      return header(name)
    case 'bearer':
      return BEARER.exec(header('authorization') ?? '')?.[1] ?? null
    case 'query': {
      const at = uri?.indexOf('?') ?? -1
      return at === -1 ? null : new URLSearchParams(uri?.slice(at + 1)).get(name) || null
    }
    case 'context':
    case 'descriptor':
      return null
  }
}
