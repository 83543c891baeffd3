/**
 * HTTP/1.1 as bytes (RFC 9112), as far as gateways write it: one request that is whole, whose length is stated and that
 * has no field twice. All else is `unusual`, and left to Node's own parser, which knows the whole of it.
 */
import { STATUS_CODES } from 'node:http'
import type { QuickAnswer } from '../collector/principal.ts'
import type { AnswerText } from './http-connections.ts'

const HEAD_BYTES_MAX = 8 * 1024
/** Longer bodies are no single check. */
const BODY_BYTES_MAX = 16 * 1024
export const REQUEST_BYTES_MAX = HEAD_BYTES_MAX + BODY_BYTES_MAX

const FIELD = /([!#$%&'*+\-.^_`|~\dA-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n/y
/** Fields that change how a message is framed, or what becomes of its connection. */
const FRAMING = ['transfer-encoding', 'content-encoding', 'expect', 'upgrade', 'connection']
const JSON_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i
const PRINTABLE = /^[\x20-\x7e]*$/

/** Names in lower case. Without a prototype, so that no name has a value that nobody sent. */
class Fields {
  [name: string]: string
}
Object.setPrototypeOf(Fields.prototype, null)
Reflect.deleteProperty(Fields.prototype, 'constructor')

export interface WireRequest<Route> {
  route: Route
  fields: Readonly<Record<string, string>>
  body: string
}

/** What comes before the body. */
interface Head<Route> extends Omit<WireRequest<Route>, 'body'> {
  readonly bodyBytes: number
}

/**
 * Reads requests to `routes`, which are found by the first line. `partial` is one whose rest may still come; no more
 * than `REQUEST_BYTES_MAX` ever are.
 */
export function createRequestReader<Route>(
  routes: ReadonlyMap<string, Route>,
): (bytes: Buffer) => WireRequest<Route> | 'partial' | 'unusual' {
  // Clients that say in the body what they ask say the same before it again and again.
  let last: { text: string; head: Head<Route> } | null = null
  const readHead = (text: string): Head<Route> | null => {
    const lineEnd = text.indexOf('\r\n')
    const route = routes.get(text.slice(0, lineEnd))
    const isPost = text.startsWith('POST')
    const fields = readFields(text, lineEnd + 2)
    const bodyBytes = fields === null ? null : bodyLength(fields, isPost)
    if (route === undefined || fields === null || bodyBytes === null) return null
    const head = { route, fields, bodyBytes }
    if (isPost) last = { text, head }
    return head
  }
  return bytes => {
    const start = bytes.toString('latin1', 0, HEAD_BYTES_MAX)
    const end = start.indexOf('\r\n\r\n')
    if (end === -1) {
      const isOurs = routes.has(start.slice(0, Math.max(0, start.indexOf('\r\n'))))
      return isOurs && bytes.length < HEAD_BYTES_MAX ? 'partial' : 'unusual'
    }
    const bodyStart = end + 4
    const text = start.slice(0, bodyStart - 2)
    const head = last?.text === text ? last.head : readHead(text)
    if (head === null) return 'unusual'
    const missing = bodyStart + head.bodyBytes - bytes.length
    if (missing > 0) return 'partial'
    // More than one request was sent before the answer to the first.
    if (missing < 0) return 'unusual'
    return { route: head.route, fields: head.fields, body: bytes.toString('utf8', bodyStart) }
  }
}

/** Null where a field is malformed, comes twice, or changes the framing. */
function readFields(head: string, start: number): Fields | null {
  const fields = new Fields()
  FIELD.lastIndex = start
  while (FIELD.lastIndex < head.length) {
    const field = FIELD.exec(head)
    if (field === null) return null
    const [, name = '', value = ''] = field
    const known = name.toLowerCase()
    if (known in fields) return null
    fields[known] = withoutSpaceAtEnd(value)
  }
  if (fields.connection?.toLowerCase() === 'keep-alive') fields.connection = ''
  return fields.host === undefined || FRAMING.some(name => (fields[name] ?? '') !== '') ? null : fields
}

/** Not `trimEnd`, for which the last byte of an `à` is a space. */
function withoutSpaceAtEnd(value: string): string {
  let end = value.length
  while (value[end - 1] === ' ' || value[end - 1] === '\t') end -= 1
  return end === value.length ? value : value.slice(0, end)
}

/** Null where it is not stated as it has to be, or too long. */
function bodyLength(fields: Fields, isPost: boolean): number | null {
  const length = fields['content-length']
  if (!isPost) return length === undefined ? 0 : null
  if (length === undefined || !/^\d{1,5}$/.test(length) || !JSON_TYPE.test(fields['content-type'] ?? '')) return null
  return Number(length) <= BODY_BYTES_MAX ? Number(length) : null
}

/**
 * Answers as text. The writer throws for a header value that is no printable ASCII: it would be read as something else.
 */
export function createAnswerWriter(keepAliveMs: number): (answer: QuickAnswer) => AnswerText {
  const keepAlive = `connection: keep-alive\r\nkeep-alive: timeout=${Math.floor(keepAliveMs / 1000)}\r\n`
  let second = 0
  let constant = ''
  return ({ status, headers, body }) => {
    const nowMs = Date.now()
    if (nowMs - second >= 1000 || nowMs < second) {
      second = nowMs - (nowMs % 1000)
      constant = `date: ${new Date(second).toUTCString()}\r\n${keepAlive}`
    }
    let head: AnswerText = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`
    for (const name in headers) {
      const value = headers[name] ?? ''
      if (!PRINTABLE.test(value)) throw new TypeError(`the header ${name} has a character that headers cannot have`)
      head = `${head}${name}: ${value}\r\n`
    }
    return `${head}${constant}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  }
}
