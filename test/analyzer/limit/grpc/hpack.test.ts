import { once } from 'node:events'
import { connect, type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2'
import { type AddressInfo, createServer } from 'node:net'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Connection, createConnection } from '../../../../analyzer/limit/grpc/connection.ts'
import { ERROR } from '../../../../analyzer/limit/grpc/frames.ts'
import { createHpackDecoder, encodeFields } from '../../../../analyzer/limit/grpc/hpack.ts'
import type { RequestHeaders } from '../../../../analyzer/limit/grpc/request-headers.ts'

const LIST_BYTES_MAX = 2 ** 15
const decoder = () => createHpackDecoder(LIST_BYTES_MAX)
const fieldsOf = (hex: string, of = decoder()) =>
  of.decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'))?.map(({ name, value }) => `${name}: ${value}`)

describe('blocks', () => {
  test('are read as in the examples of RFC 7541, C.4', () => {
    const one = decoder()
    const first = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com']
    expect(fieldsOf('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', one)).toEqual(first)
    expect(fieldsOf('8286 84be 5886 a8eb 1064 9cbf', one)).toEqual([...first, 'cache-control: no-cache'])
    expect(fieldsOf('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf', one)).toEqual([
      ...[':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com'],
      'custom-key: custom-value',
    ])
  })

  test.each([
    ['a field of no table', '80'],
    ['a field of the other table that is not there', 'be'],
    ['a number without end', 'ff ff ff ff ff ff ff'],
    ['a field that ends too early', '40 03 61'],
    ['a text that ends too early', '40 01 61 05 61'],
    ['a table larger than ours', '3f e2 1f'],
    ['a table of another size behind a field', '82 20'],
    ['the end of a Huffman code', '40 01 61 84 ff ff ff ff'],
    ['more than a byte of padding', '40 01 61 82 1f ff'],
    ['padding of zeros', '40 01 61 81 18'],
  ])('%s is refused', (_, hex) => {
    expect(() => fieldsOf(hex)).toThrow(expect.objectContaining({ code: ERROR.compression }))
  })

  test('whose fields are too many are read to their end, and not kept', () => {
    const one = decoder()
    // A field of 4,000 bytes for the table, then again and again.
    const large = Buffer.concat([Buffer.from([0x40, 1, 97, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 98)])
    expect(one.decode(Buffer.concat([large, Buffer.alloc(6, 0xbe)]))).toHaveLength(7)
    expect(one.decode(Buffer.concat([large, Buffer.alloc(1000, 0xbe)]))).toBeNull()
    expect(one.decode(Buffer.from('be', 'hex'))).toHaveLength(1)
  })

  test('that are written are read, and leave no trace', () => {
    const text = fc.string({
      unit: fc.integer({ min: 32, max: 126 }).map(code => String.fromCharCode(code)),
      maxLength: 300,
    })
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text)), fields => {
        const one = decoder()
        expect(one.decode(encodeFields(fields))).toEqual(fields.map(([name, value]) => ({ name, value })))
        expect(one.generation()).toBe(0)
      }),
    )
  })

  test('of whatever bytes are read or refused', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), blocks => {
        const one = decoder()
        try {
          for (const block of blocks) one.decode(Buffer.from(block))
        } catch (error) {
          expect(error).toMatchObject({ code: ERROR.compression })
        }
      }),
      { numRuns: 2_000 },
    )
  })
})

/** What a connection reads of the requests of Node's own client. */
async function openReader() {
  const read: RequestHeaders[] = []
  const server = createServer(socket => {
    const connection: Connection<null> = createConnection<null>({
      handler: {
        opened(stream, headers) {
          read.push(headers)
          connection.refuse(stream, Buffer.from([0x88]))
        },
        received: () => undefined,
        lost: () => undefined,
      },
      contentBytesMax: 0,
      nowMs: () => 0,
      wantsFlush: () => setImmediate(() => socket.write(connection.take() ?? '')),
    })
    socket.on('data', bytes => connection.receive(bytes))
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(() => {
    session.destroy()
    server.close()
  })
  const send = async (headers: OutgoingHttpHeaders) => {
    const stream = session.request({ ':method': 'POST', ':path': '/a', ...headers }, { endStream: true })
    stream.resume()
    await once(stream, 'close')
    return read.pop()
  }
  return send
}

describe("what Node's client writes", () => {
  test('is read with every byte that it may have', async () => {
    const send = await openReader()
    for (let code = 32; code < 256; code += 1) {
      if (code === 127) continue
      // Short codes around it, so that it is worth while to write the long one.
      const value = `${'a'.repeat(80)}${String.fromCharCode(code)}${'e'.repeat(40)}`
      expect((await send({ 'x-byte': value }))?.get('x-byte')).toBe(value)
    }
  })

  test('is read, whatever it keeps in its table', async () => {
    const send = await openReader()
    const name = fc.integer({ min: 0, max: 12 }).map(number => `x-${number}`)
    const value = fc.oneof(
      fc.constantFrom('', 'one', 'a value that comes again'),
      fc.string({ unit: fc.constantFrom('a', 'B', '7', '~', ' ', '\\'), maxLength: 60 }).map(text => text.trim()),
      fc.integer({ min: 500, max: 5_000 }).map(length => 'v'.repeat(length)),
    )
    const request = fc.record({ headers: fc.dictionary(name, value), secret: fc.option(name, { nil: undefined }) })
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 8 }), async requests => {
        for (const { headers, secret } of requests) {
          const secrets = secret === undefined ? {} : { [sensitiveHeaders]: [secret] }
          const read = await send({ ...headers, ...secrets })
          for (const [one, text] of Object.entries(headers)) expect(read?.get(one)).toBe(text)
        }
      }),
      { numRuns: 60 },
    )
  })
})
