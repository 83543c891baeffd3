/** Removing credentials and prompts from what a rejection keeps, and credentials from what a message shows. */
import { REJECTION_INPUT_BYTES_MAX } from '../call-record.ts'
import { SECRET_SOURCE } from '../identity.ts'
import { exactInteger } from './exact-integer.ts'
import { credentialIn, credentialOf, decoded, headerReader } from './headers.ts'

const SHOWN_CHARACTERS_MAX = 80
/** More than is kept or shown: redaction may shorten. Bounds the work on one input. */
const REDACTED_CHARACTERS_MAX = 4 * REJECTION_INPUT_BYTES_MAX
const UTF8_BYTES_PER_UNIT_MAX = 3

/** How the names end under which gateways log credentials: headers, query parameters, fields of their own. */
const SECRET_NAMES = [
  'authorization',
  'cookie',
  'credentials?',
  'api[-_]?key',
  'access[-_]?key',
  'private[-_]?key',
  'subscription[-_]?key',
  // Counts of tokens are none.
  '(?<!(?:input|output|total|prompt|completion|cached)[-_]?)token',
  'secret',
  'passw(?:or)?d',
  'passphrase',
  'signature',
  // Whole requests, in base64 or percent-encoded: Tyk, Apinto.
  'raw[-_]?re(?:quest|sponse)',
  '(?:request|proxy)[-_]headers?',
].join('|')
const NAME = String.raw`[\w.:-]*(?:${SECRET_NAMES})`
/** Of a value that has no quotes around it; `%26` is an encoded `&`. */
const BARE = String.raw`(?:[^\s"'&,;#\\{}[\]%]|%(?!26))+`

/**
 * Each finds what stands before a value, and the value. None looks at a character more than a fixed number of times,
 * whatever somebody sends.
 */
const PATTERNS = [
  // `"name": "value"` in JSON, broken JSON too: a value that was cut off ends at the end of the text.
  String.raw`(?<before>"(?:${NAME}|key|sig)"\s*:\s*")(?<value>(?:[^"\\]|\\.)*)`,
  // The same in JSON that is text inside of JSON, however deep.
  String.raw`(?<before>(?<!\\)(?<escape>\\+)"${NAME}\k<escape>"\s*:\s*\[?\s*\k<escape>")(?<value>.*?)(?=\k<escape>"|$)`,
  // `name="value"`.
  String.raw`(?<before>(?:${SECRET_NAMES})[:=]\s{0,8}(?<escape>\\*)["'])(?<value>.*?)(?=\k<escape>["']|$)`,
  // The headers whose values have spaces.
  String.raw`(?<before>(?:authorization|cookie)(?::|%3a)\s{0,8})(?<value>[^\r\n"\\]+)`,
  // `name=value` and `name: value` in query strings, forms and text, percent-encoded or not.
  String.raw`(?<before>(?:${SECRET_NAMES})\\*["']?\s{0,8}(?:[:=]|%3a|%3d)\s{0,8})(?!(?:null|true|false)\b)(?<value>${BARE})`,
  String.raw`(?<before>(?:[?&;]|%3f|%26|\\u0026)(?:key|sig)(?:=|%3d))(?<value>${BARE})`,
  // `scheme://user:password@host`.
  String.raw`(?<before>:\/\/[^\s/:@"]{0,256}:)(?<value>[^\s/@"]{1,256})(?=@)`,
].map(source => new RegExp(source, 'gis'))
/** Headers are lists in some logs. */
const listPattern = new RegExp(String.raw`("${NAME}"\s*:\s*\[)([^\]]*)`, 'gi')
const listedText = /"((?:[^"\\]|\\.)*)(?:"|$)/g
const shapedSecret = new RegExp(SECRET_SOURCE, 'gi')
const secretName = new RegExp(`^${NAME}$`, 'i')

/** How the names end under which gateways log what was said, which is nobody's business here. */
const PROMPT_NAMES =
  '(?:messages|prompts?|completions?|choices|contents?|instructions|questions?|answers?|reasoning|body)'
const promptName = new RegExp(`${PROMPT_NAMES}$`, 'i')
const promptBegin = new RegExp(String.raw`${PROMPT_NAMES}\\*"\s{0,8}:\s{0,8}\\*["[{]`, 'i')
/** In place of what was said. */
export const NOT_KEPT = '(not kept)'
/** How fingerprints begin. */
const MARK = 'key:'
/** In place of what is secret and names nobody; no dialect takes it for a credential. */
const NO_CREDENTIAL = '(redacted)'

/** True for the name of a field that holds a credential. */
export const isSecretName = (name: string): boolean => secretName.test(name)

/** True for the name of a field that holds what was said. */
export const isPromptName = (name: string): boolean => promptName.test(name)

/**
 * `text` with `secrets`, and whatever has the name or the shape of a credential, replaced by its fingerprint: of exactly
 * that part which names the caller, so that a replay of the text finds the same caller. Credentials
 * under names of one's own and of no known shape are found only when they are in `secrets`; `ids` of credentials are none,
 * whatever their names say.
 */
export function redact(
  text: string,
  secrets: readonly string[],
  fingerprint: (secret: string) => string,
  ids: readonly string[] = [],
): string {
  let redacted = text
  for (const secret of secrets) {
    if (secret === '') continue
    const mark = fingerprint(secret)
    redacted = redacted.replaceAll(secret, mark).replaceAll(JSON.stringify(secret).slice(1, -1), mark)
  }
  const markOf = (credential: string | null) => {
    if (credential === null) return NO_CREDENTIAL
    return credential.startsWith(MARK) ? credential : fingerprint(credential)
  }
  /** `before` says what the value is: its name, or nothing. */
  const marked = (value: string, before: string) => {
    if (isNothing.test(value) || value.startsWith(MARK) || ids.includes(value)) return value
    if (isHeadersBegin.test(before)) return `Authorization=${markOf(credentialInForm(value))}`
    return markOf(credentialIn(isParameterBegin.test(before) ? decoded(value) : value))
  }
  redacted = redacted.replace(
    listPattern,
    (_, before: string, list: string) =>
      before + list.replace(listedText, (_text, value: string) => `"${marked(value, '')}"`),
  )
  for (const pattern of PATTERNS) {
    redacted = redacted.replace(pattern, (...match) => {
      const { before, value }: Found = match.at(-1)
      // A number in JSON becomes text, or the whole of it could not be read again.
      const mark = marked(value, before)
      return isNumberBegin.test(before) && mark !== value ? `${before}"${mark}"` : before + mark
    })
  }
  return redacted.replace(shapedSecret, secret => fingerprint(secret))
}

/** Or a mask that shows no more than a few characters. */
const isNothing = /^(?:[\s0-]*|[\w-]{0,4}\*{3,}[\w-]{0,4})$/
const isParameterBegin = /(?:=|%3d)\s{0,8}$/i
const isNumberBegin = /"\s{0,8}:\s{0,8}$/
const isHeadersBegin = /headers?\\*["']?\s{0,8}[:=]\s{0,8}\\*["']?$/i

/** Of headers that are written as a form is. */
const credentialInForm = (form: string) =>
  credentialOf(headerReader(Object.fromEntries(new URLSearchParams(form))), null)

interface Found {
  before: string
  value: string
}

/** What a rejection keeps of its input, and whether that is all of it but for secrets and prompts. */
export function keptInput(
  text: string,
  secrets: readonly string[],
  fingerprint: (secret: string) => string,
  ids: readonly string[] = [],
): { input: string; isWhole: boolean } {
  // The final cut comes after redaction, or half a credential could stay at it; the first one bounds the work.
  const unprompted = withoutPrompts(text.slice(0, REDACTED_CHARACTERS_MAX))
  const input = redact(unprompted.text, secrets, fingerprint, ids)
  const isWhole = unprompted.isWhole && text.length <= REDACTED_CHARACTERS_MAX
  if (input.length * UTF8_BYTES_PER_UNIT_MAX <= REJECTION_INPUT_BYTES_MAX) return { input, isWhole }
  const bytes = Buffer.from(input)
  if (bytes.length <= REJECTION_INPUT_BYTES_MAX) return { input, isWhole }
  // A character that the cut halved is dropped with it.
  return { input: bytes.toString('utf8', 0, REJECTION_INPUT_BYTES_MAX).replace(/\uFFFD$/, ''), isWhole: false }
}

/**
 * Without prompts and completions, and in JSON without needless escapes (`\/`, `\u0026`), behind which a known credential
 * would not be found. In broken JSON nobody can tell where a prompt ends, so everything behind its name goes.
 */
function withoutPrompts(text: string): { text: string; isWhole: boolean } {
  if (!text.includes('\\') && !promptBegin.test(text)) return { text, isWhole: true }
  try {
    return { text: JSON.stringify(JSON.parse(text, dropPrompt)), isWhole: true }
  } catch {
    const at = text.search(promptBegin)
    return at < 0 ? { text, isWhole: true } : { text: text.slice(0, at) + NOT_KEPT, isWhole: false }
  }
}

function dropPrompt(name: string, value: unknown, context?: { source?: string }): unknown {
  const isText = typeof value === 'string'
  if ((isText || (typeof value === 'object' && value !== null)) && isPromptName(name)) return NOT_KEPT
  return isText && promptBegin.test(value) ? withoutPrompts(value).text : exactInteger(value, context)
}

/** JSON of what came as JSON; nesting that no stack can follow is not worth keeping. */
export function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch (error) {
    if (error instanceof RangeError) return '(nested too deeply)'
    throw error
  }
}

/** A value for a message: short, and nothing in it that looks like a credential. */
export function shown(value: unknown): string {
  const text = jsonText(value).slice(0, REDACTED_CHARACTERS_MAX)
  const redacted = redact(text, [], () => '(credential)')
  return redacted.length <= SHOWN_CHARACTERS_MAX ? redacted : `${redacted.slice(0, SHOWN_CHARACTERS_MAX)}…`
}
