import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAnswerWriter, createRequestReader } from '../../deploy/http-wire.ts'

const routes = new Map([
  ['POST /v1/check HTTP/1.1', 'check'],
  ['GET /v1/auth HTTP/1.1', 'auth'],
])
/** Whoever is asked a second time must say the same. */
function read(text: string) {
  const reader = createRequestReader(routes)
  const bytes = Buffer.from(text, 'latin1')
  const first = reader(bytes)
  expect(reader(bytes)).toEqual(first)
  return first
}
const check = (...fields: string[]) =>
  `POST /v1/check HTTP/1.1\r\nhost: a\r\n${fields.map(field => `${field}\r\n`).join('')}\r\n{}`
const JSON_FIELDS = ['content-type: application/json', 'content-length: 2']

test('a usual request is read whole', () => {
  expect(read(check(...JSON_FIELDS, 'X-Name:  \t a b \xe9\t ', 'Connection: Keep-Alive', 'empty:'))).toEqual({
    route: 'check',
    fields: expect.objectContaining({ host: 'a', 'x-name': 'a b \xe9', empty: '', connection: '' }),
    body: '{}',
  })
  expect(read('GET /v1/auth HTTP/1.1\r\nHost: a\r\n\r\n')).toMatchObject({ route: 'auth', body: '' })
})

test('a value ends as it was sent: what is a space in Latin-1 is the end of a character in UTF-8', () => {
  const consumer = Buffer.from('voilà').toString('latin1')
  expect(read(check(...JSON_FIELDS, `x-consumer: ${consumer} \t`))).toMatchObject({
    fields: { 'x-consumer': consumer },
  })
})

test('no name has a value that nobody sent', () => {
  const request = read(check(...JSON_FIELDS, '__proto__: x'))
  if (typeof request === 'string') throw new Error(request)
  expect(Object.entries(request.fields)).toContainEqual(['__proto__', 'x'])
  expect(request.fields.constructor).toBeUndefined()
})

describe('what may mean two things is left to the HTTP server:', () => {
  const [type = '', length = ''] = JSON_FIELDS
  for (const [what, text] of Object.entries({
    'another route': 'GET /v1/other HTTP/1.1\r\nhost: a\r\n\r\n',
    'a query': 'GET /v1/auth?a HTTP/1.1\r\nhost: a\r\n\r\n',
    'HTTP/1.0': 'GET /v1/auth HTTP/1.0\r\nhost: a\r\n\r\n',
    'no host': 'GET /v1/auth HTTP/1.1\r\na: b\r\n\r\n',
    'two hosts': 'GET /v1/auth HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n',
    'a body of GET': 'GET /v1/auth HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}',
    'no length': check(type),
    'two lengths': check(...JSON_FIELDS, 'content-length: 2'),
    'a signed length': check(type, 'content-length: +2'),
    'two numbers as length': check(type, 'content-length: 2, 2'),
    'an empty length': check(type, 'content-length:'),
    'a length in hexadecimal': check(type, 'content-length: 0x2'),
    chunks: check(...JSON_FIELDS, 'transfer-encoding: chunked'),
    'chunks behind a control character': check(...JSON_FIELDS, 'transfer-encoding: \x0bchunked'),
    'a compressed body': check(...JSON_FIELDS, 'content-encoding: gzip'),
    'another type': check(length, 'content-type: text/plain'),
    'a folded field': check(...JSON_FIELDS, 'a: b', ' c: d'),
    'a space before the colon': check(...JSON_FIELDS, 'a : b'),
    'no colon': check(...JSON_FIELDS, 'a'),
    'a line that ends with LF alone': check(...JSON_FIELDS, 'a: b\nc: d'),
    'a CR alone': check(...JSON_FIELDS, 'a: b\rc: d'),
    'a NUL': check(...JSON_FIELDS, 'a: \0'),
    'an expectation': check(...JSON_FIELDS, 'expect: 100-continue'),
    'an upgrade': check(...JSON_FIELDS, 'upgrade: h2c'),
    'the last request of a connection': check(...JSON_FIELDS, 'connection: close'),
    'two requests at once': `${check(...JSON_FIELDS)}GET`,
    'a long head': check(...JSON_FIELDS, `a: ${'b'.repeat(9_000)}`),
    'a long body': check(type, 'content-length: 20000'),
  }))
    test(what, () => expect(read(text)).toBe('unusual'))
})

test('once it is known to be for us, the rest is waited for', () => {
  const whole = check(...JSON_FIELDS)
  const line = 'POST /v1/check HTTP/1.1\r\n'.length
  for (let length = line; length < whole.length; length += 1) expect(read(whole.slice(0, length))).toBe('partial')
  for (let length = 0; length < line; length += 1) expect(read(whole.slice(0, length))).toBe('unusual')
})

describe('what is read is what Node reads', () => {
  let port = 0
  const heard: { headers: unknown; body: string }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => {
      heard.push({ headers: { ...request.headers }, body })
      response.end()
    })
  })
  beforeAll(async () => {
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => server.close())

  /** What Node makes of it: all that its requests were, and nothing where it refuses. */
  const nodeReads = async (text: string) => {
    heard.length = 0
    const socket = connect(port, '127.0.0.1')
    socket.end(Buffer.from(text, 'latin1'))
    await new Promise<void>(resolve =>
      socket
        .on('error', () => undefined)
        .resume()
        .on('close', resolve),
    )
    return [...heard]
  }
  const word = fc.string({
    unit: fc.constantFrom(
      'a',
      'B',
      '-',
      '_',
      ' ',
      '\t',
      ':',
      ';',
      ',',
      '\r',
      '\n',
      '\0',
      '\x7f',
      '\xa0',
      '\xe9',
      '2',
      '"',
      '{',
    ),
    maxLength: 6,
  })
  const field = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('Content-Length', 'content-length', 'Host', 'X-A', 'x-b', 'Connection'),
        fc.constantFrom(':', ': ', ' :', ':\t'),
        word,
      )
      .map(parts => parts.join('')),
    fc.constantFrom(
      'Content-Type: application/json',
      'Content-Length: 2',
      'Transfer-Encoding: chunked',
      'Connection: keep-alive',
    ),
    word,
  )

  test('or it is left to Node', async () => {
    let usual = 0
    const one = fc.asyncProperty(fc.array(field, { maxLength: 4 }), fc.boolean(), async (fields, isPost) => {
      const text = isPost
        ? check(...JSON_FIELDS, ...fields)
        : `GET /v1/auth HTTP/1.1\r\nhost: a\r\n${fields.map(each => `${each}\r\n`).join('')}\r\n`
      const request = read(text)
      if (typeof request === 'string') return
      usual += 1
      const { connection, ...fieldsRead } = request.fields
      const [node, ...more] = await nodeReads(text)
      const { connection: _connection, ...headers } = (node?.headers ?? {}) as Record<string, string>
      expect(more).toEqual([])
      expect({ headers: { ...fieldsRead }, body: request.body }).toEqual({ headers, body: node?.body })
    })
    await fc.assert(one, { numRuns: 3_000, seed: 1 })
    expect(usual).toBeGreaterThan(100)
  })
})

describe('an answer', () => {
  const write = createAnswerWriter(75_000)

  test('states its length in bytes, its date, and how long the connection is kept', () => {
    const text = write({ status: 429, headers: { 'retry-after': '3' }, body: '{"a":"é"}' })
    const [head = '', body] = text.split('\r\n\r\n')
    expect(head.split('\r\n')).toEqual([
      'HTTP/1.1 429 Too Many Requests',
      'retry-after: 3',
      expect.stringMatching(/^date: .* GMT$/),
      'connection: keep-alive',
      'keep-alive: timeout=75',
      'content-length: 10',
    ])
    expect(body).toBe('{"a":"é"}')
  })

  test('has no header that could end before it ends', () => {
    for (const value of ['a\r\nb: c', 'a\nb', 'é'])
      expect(() => write({ status: 200, headers: { a: value }, body: '' })).toThrow('cannot have')
  })
})
