/** HTTP headers as gateways log them, and the credential among them. */

/** The value of a header by its lower-case name, several joined as HTTP joins them; `null` where there is none. */
export type HeaderReader = (lowerCaseName: string) => string | null

const NO_HEADERS: HeaderReader = () => null

/** Reads an object of headers in whatever case, each with text, a number or a list of them. */
export function headerReader(headers: unknown): HeaderReader {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) return NO_HEADERS
  const values = headers as Readonly<Record<string, unknown>>
  let others: ReadonlyMap<string, unknown> | undefined
  return name => {
    let value = values[name]
    if (value === undefined) {
      others ??= notInLowerCase(values)
      if (others === NONE) return null
      value = others.get(name)
    }
    return value === undefined ? null : valueText(value)
  }
}

const NONE: ReadonlyMap<string, unknown> = new Map()

/** The headers whose names are not in lower case, by the names that are. */
function notInLowerCase(values: Readonly<Record<string, unknown>>): ReadonlyMap<string, unknown> {
  let others: Map<string, unknown> | null = null
  for (const name in values) {
    const lower = lowerCaseOf(name)
    if (lower === name) continue
    others ??= new Map()
    others.set(lower, values[name])
  }
  return others ?? NONE
}

/** The same few names come with every call. */
const REMEMBERED_MAX = 4096
const REMEMBERED_CHARACTERS_MAX = 64
const remembered = new Map<string, string>()

function lowerCaseOf(name: string): string {
  const known = remembered.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  if (name.length > REMEMBERED_CHARACTERS_MAX) return lower
  if (remembered.size >= REMEMBERED_MAX) remembered.clear()
  remembered.set(name, lower)
  return lower
}

function valueText(value: unknown): string | null {
  if (typeof value === 'string') return value === '' || value === '-' ? null : value
  if (typeof value === 'number') return String(value)
  if (!Array.isArray(value)) return null
  const texts = value.filter(item => typeof item === 'string' && item !== '')
  return texts.length === 0 ? null : texts.join(', ')
}

/**
 * Where callers put their credential. A header of one product comes first, since `Authorization` beside it is meant for
 * the provider; then `Authorization`, as for the doors of the limiter.
 */
const CREDENTIAL_HEADERS = [
  'x-portkey-api-key',
  'x-litellm-api-key',
  'cf-aig-authorization',
  'ocp-apim-subscription-key',
  'authorization',
  'x-api-key',
  'apikey',
  'api-key',
  'x-apikey',
  'x-goog-api-key',
  'x-rapidapi-key',
  'x-auth-token',
  'x-access-token',
]
const CREDENTIAL_PARAMETER =
  /(?:^|[?&;])(?:api[-_]?key|x-api-key|key|access[-_]token|auth[-_]token|token|subscription-key|client_id)=([^&;#\s]*)/i

/** What gateways write in place of a credential. */
const REDACTED =
  /^(?:[[<(]?(?:redacted|masked|hidden|removed|filtered|none|null|bearer|basic)[\])>]?)$|\*{3}|x{6}|\.{3}|…/i
const SCHEME = /^(\S+)\s+(.*)$/s
const KEPT_SCHEMES = new Set(['bearer', 'basic', 'token', 'apikey', 'api-key', 'key'])
const AWS_ACCESS_KEY = /\bCredential=([^/,\s]+)/

/**
 * The raw credential of the caller in the headers of its request, else in its query (or the path or URL that holds it).
 * Signatures are none, since they differ with every call; of AWS's the access key id is.
 */
export function credentialOf(header: HeaderReader, query: string | null): string | null {
  for (const name of CREDENTIAL_HEADERS) {
    const value = header(name)
    const credential = value === null ? null : credentialIn(value)
    if (credential !== null) return credential
  }
  const parameter = query === null ? undefined : CREDENTIAL_PARAMETER.exec(query)?.[1]
  return parameter === undefined ? null : credentialIn(decoded(parameter))
}

/** The credential in the value of a header; `null` where there is none, or only what stands for one. */
export function credentialIn(value: string): string | null {
  const [, scheme = '', rest = value] = SCHEME.exec(value.trim()) ?? []
  if (rest.trim() === '' || REDACTED.test(rest.trim())) return null
  if (scheme === '' || KEPT_SCHEMES.has(scheme.toLowerCase())) return value.trim()
  return AWS_ACCESS_KEY.exec(rest)?.[1] ?? null
}

/** A parameter of a query as text. */
export function decoded(parameter: string): string {
  try {
    return decodeURIComponent(parameter.replaceAll('+', ' '))
  } catch {
    return parameter
  }
}
