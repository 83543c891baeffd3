/**
 * Lines in the manner of the Common Log Format, as the servers that descend from NCSA's write them:
 * `address identity user [time] "request" status bytes …`. What follows the request differs, and is left to the dialects.
 */
import type { Fields } from './fields.ts'

export interface AccessLine {
  /** The virtual host that some formats write first, without its port. */
  host: string | null
  address: string
  user: string
  /** The instant in brackets, Unix milliseconds, to the second. */
  atMs: number
  /** The request line, unescaped. */
  request: string
  /** What follows it: words, and what stood in brackets or quotes, without these. */
  words: readonly string[]
  /** What follows it as `name=value` or `name="value"`, which is among no words. */
  pairs: Fields
}

const CLF_CHARACTERS = 'dd/Mon/yyyy:hh:mm:ss +zzzz'.length
const VIRTUAL_HOST = /^([^:]+):\d{1,5}$/
const ACCESS_LIKE = /\[\d\d\/[A-Z][a-z]{2}\/\d{4}:/

/** True for text that may be an access line, if a broken one; false for whatever else a server writes beside them. */
export const isAccessLike = (text: string): boolean => ACCESS_LIKE.test(text)

/** `null` for what is no such line. 1 µs. */
export function parseAccessLine(line: string): AccessLine | null {
  // The time alone can be before this: quotes are escaped in what clients choose.
  const close = line.indexOf('] "')
  const open = close - CLF_CHARACTERS - 1
  if (open < 1 || line.charCodeAt(open) !== BRACKET || line.charCodeAt(open - 1) !== SPACE) return null
  const atMs = clfInstant(line, open + 1)
  const caller = atMs === null ? null : callerOf(line.slice(0, open - 1))
  if (atMs === null || caller === null) return null
  const found: Found = { words: [], pairs: null }
  readWords(line, close + 2, found)
  const [request = '', ...words] = found.words
  return { ...caller, atMs, request, words, pairs: found.pairs ?? NO_PAIRS }
}

/** A user may have spaces in its name; a virtual host is told by its port, which no address has. */
function callerOf(text: string): Pick<AccessLine, 'host' | 'address' | 'user'> | null {
  const words = text.split(' ')
  // A list of addresses, of the proxies that the call came through, is one word.
  const firstEnd = words.findIndex(word => !word.endsWith(',')) + 1
  const first = words.slice(0, firstEnd).join('')
  const [second, third, ...rest] = words.slice(firstEnd)
  if (firstEnd === 0 || second === undefined || third === undefined) return null
  const host = rest.length > 0 ? VIRTUAL_HOST.exec(first)?.[1] : undefined
  if (host !== undefined) return { host, address: second, user: unescaped(rest.join(' ')) }
  return { host: null, address: first, user: unescaped(rest.length === 0 ? third : [third, ...rest].join(' ')) }
}

const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec'
const MONTH_CHARACTERS = 3

/** Unix milliseconds of `20/Nov/2026:20:20:12 +0000` at a place of a text; `null` for what is no such instant. */
export function clfInstant(text: string, at = 0): number | null {
  const wallClockMs = clfWallClock(text, at)
  const sign = text[at + 21]
  const offsetMinutes = digits(text, at + 22, 2) * 60 + digits(text, at + 24, 2)
  if (wallClockMs === null || Number.isNaN(offsetMinutes)) return null
  if (sign === '+') return wallClockMs - offsetMinutes * 60_000
  return sign === '-' ? wallClockMs + offsetMinutes * 60_000 : null
}

/** Of `20/Nov/2026:20:20:12`, what the instant were if its zone was UTC. */
export function clfWallClock(text: string, at = 0): number | null {
  const month = MONTHS.indexOf(text.slice(at + 3, at + 6)) / MONTH_CHARACTERS
  const [day, hour, minute, second] = [
    digits(text, at, 2),
    digits(text, at + 12, 2),
    digits(text, at + 15, 2),
    digits(text, at + 18, 2),
  ]
  const year = digits(text, at + 7, 4)
  // A leap second is the first of the next minute. What is no number is in no range.
  const isClock = day >= 1 && day <= 31 && hour <= 23 && minute <= 59 && second <= 60 && year >= 1970
  return isClock && Number.isInteger(month) && month >= 0 ? Date.UTC(year, month, day, hour, minute, second) : null
}

const ZERO = 48

function digits(text: string, at: number, count: number): number {
  let number = 0
  for (let index = at; index < at + count; index++) {
    const digit = text.charCodeAt(index) - ZERO
    if (!(digit >= 0 && digit <= 9)) return Number.NaN
    number = number * 10 + digit
  }
  return number
}

const SPACE = 32
const QUOTE = 34
const COMMA = 44
const BRACKET = 91
const BACKSLASH = 92
const NO_PAIRS: Fields = {}
/** How far behind a bracket its end is looked for: lines of nothing but brackets would take minutes. */
const BRACKETED_CHARACTERS_MAX = 1024
const PAIR = /[A-Za-z][\w-]*=/y

interface Found {
  words: string[]
  pairs: Record<string, string> | null
}

function readWords(line: string, begin: number, found: Found): void {
  for (let at = begin; at < line.length; ) {
    const code = line.charCodeAt(at)
    if (code === SPACE) {
      at++
      continue
    }
    if (code === QUOTE) {
      const end = quoteEnd(line, at + 1)
      found.words.push(unescaped(line.slice(at + 1, end)))
      at = end + 1
      continue
    }
    const close = code === BRACKET ? at + line.slice(at, at + BRACKETED_CHARACTERS_MAX).indexOf(']') : -1
    // An address of IPv6 goes on behind its brackets.
    if (close > at && (close + 1 === line.length || line.charCodeAt(close + 1) === SPACE)) {
      found.words.push(line.slice(at + 1, close))
      at = close + 1
      continue
    }
    at = readWord(line, at, found)
  }
}

/** Where the word ends. */
function readWord(line: string, begin: number, found: Found): number {
  PAIR.lastIndex = begin
  const name = PAIR.exec(line)?.[0]
  if (name === undefined) {
    const end = wordEnd(line, begin)
    found.words.push(line.slice(begin, end))
    return end
  }
  const isQuoted = line.charCodeAt(begin + name.length) === QUOTE
  const valueBegin = begin + name.length + (isQuoted ? 1 : 0)
  // Only one of both: to look for a space behind each of many quotes would take seconds.
  const valueEnd = isQuoted ? quoteEnd(line, valueBegin) : wordEnd(line, begin)
  found.pairs ??= {}
  found.pairs[name.slice(0, -1)] = unescaped(line.slice(valueBegin, valueEnd))
  return isQuoted ? valueEnd + 1 : valueEnd
}

/** One word is also a list of nginx, one item for each upstream that was tried: `502, 200`, `0.1, 0.2 : 0.3`. */
function wordEnd(line: string, begin: number): number {
  let end = line.indexOf(' ', begin)
  while (end > 0 && (line.charCodeAt(end - 1) === COMMA || line.startsWith(' : ', end))) {
    end = line.indexOf(' ', end + (line.charCodeAt(end - 1) === COMMA ? 1 : 3))
  }
  return end < 0 ? line.length : end
}

/** Where the quote closes, or the end of a line that was cut off. */
function quoteEnd(line: string, begin: number): number {
  let end = line.indexOf('"', begin)
  while (end > 0 && isEscaped(line, begin, end)) end = line.indexOf('"', end + 1)
  return end < 0 ? line.length : end
}

function isEscaped(line: string, begin: number, at: number): boolean {
  let backslashes = 0
  while (at - backslashes > begin && line.charCodeAt(at - backslashes - 1) === BACKSLASH) backslashes++
  return backslashes % 2 === 1
}

const ESCAPES = /((?:\\x[0-9a-fA-F]{2})+)|\\u([0-9a-fA-F]{4})|\\(.)/gs
const CONTROLS: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', v: '\v', a: '\u0007' }

/** Text without the escapes of C, Go or JSON; `\xC3\xA9` are bytes of UTF-8. */
export function unescaped(text: string): string {
  if (!text.includes('\\')) return text
  return text.replace(ESCAPES, (_, bytes: string | undefined, unit: string | undefined, character = '') => {
    if (bytes !== undefined) return Buffer.from(bytes.replaceAll('\\x', ''), 'hex').toString()
    return unit === undefined ? (CONTROLS[character] ?? character) : String.fromCharCode(Number.parseInt(unit, 16))
  })
}
