import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { canonical } from '../../../collector/normalize/canonical.ts'
import { mappingDialect } from '../../../collector/normalize/mapping.ts'
import { nginx } from '../../../collector/normalize/nginx.ts'
import { traefik } from '../../../collector/normalize/traefik.ts'
import { decompressBody, splitBody } from '../../../collector/receive/body.ts'
import { plainSource } from '../../../collector/receive/source.ts'

const NGINX = plainSource(nginx)
const BODY = Buffer.from('{"startedAtMs":1}')
const MiB = 2 ** 20

test('lines of text in an array are kept as lines', () => {
  const shape = { source: NGINX, fileStem: null, isNdjson: false, recordsMax: 10 }
  expect(splitBody(Buffer.from('["a \\"quoted\\" line", {"a":1}]'), shape).inputAt(0)).toBe('a "quoted" line')
})

describe('decompression', () => {
  test.each([
    ['gzip', gzipSync(BODY)],
    ['GZIP', gzipSync(BODY)],
    ['deflate', deflateSync(BODY)],
    ['deflate', deflateRawSync(BODY)],
    ['br', brotliCompressSync(BODY)],
    ['zstd', zstdCompressSync(BODY)],
    ['zstd', Buffer.concat([zstdCompressSync(BODY.subarray(0, 9)), zstdCompressSync(BODY.subarray(9))])],
    ['identity', BODY],
    ['', BODY],
  ])('of %s', async (encoding, body) => {
    expect(await decompressBody(body, encoding, MiB)).toEqual(BODY)
  })

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    ['identity', (body: Buffer) => body],
  ])('of a bomb of %s stops at the bound', async (encoding, compress) => {
    const bomb = compress(Buffer.alloc(2 * MiB))
    await expect(decompressBody(bomb, encoding, MiB)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE', statusCode: 413 })
  })

  test('of many frames of zstd stops at the bound of all together, and of far too many at once', async () => {
    const frames = (bytes: number, count: number) =>
      Buffer.concat(Array<Buffer>(count).fill(zstdCompressSync(Buffer.alloc(bytes))))
    await expect(decompressBody(frames(MiB / 2, 3), 'zstd', MiB)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
    await expect(decompressBody(frames(0, 10_000), 'zstd', MiB)).rejects.toMatchObject({ code: 'BODY_UNREADABLE' })
    const halved = frames(9, 2).subarray(0, -1)
    await expect(decompressBody(halved, 'zstd', MiB)).rejects.toMatchObject({ code: 'BODY_UNREADABLE' })
  })

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ])('of %s that ends too early says so', async (encoding, compress) => {
    const message = expect.stringMatching(/breaks off before its \w+ ends/)
    await expect(decompressBody(compress(BODY).subarray(0, -6), encoding, MiB)).rejects.toMatchObject({ message })
  })

  test('of what is not compressed, or by something else', async () => {
    await expect(decompressBody(BODY, 'gzip', MiB)).rejects.toMatchObject({ code: 'BODY_UNREADABLE', statusCode: 400 })
    await expect(decompressBody(BODY, 'zstd', MiB)).rejects.toMatchObject({ statusCode: 400 })
    await expect(decompressBody(BODY, 'lzma', MiB)).rejects.toMatchObject({ statusCode: 415 })
    await expect(decompressBody(BODY, 'constructor', MiB)).rejects.toMatchObject({ statusCode: 415 })
  })
})

describe('raw inputs', () => {
  const shape = { source: plainSource(canonical), fileStem: null, isNdjson: false, recordsMax: 10 }
  const kinds = (text: string, more = {}) => {
    const batch = splitBody(Buffer.from(text), { ...shape, ...more })
    return Array.from({ length: batch.size }, (_, position) => batch.decodedAt(position).kind)
  }

  test.each([
    ['an object', '{"startedAtMs":1}', ['draft']],
    ['an array', '[{"startedAtMs":1},{"no":1}]', ['draft', 'refusal']],
    ['an empty array', '[]', []],
    ['nothing', ' \n', []],
    ['lines under the type of one document', '{"startedAtMs":1}\n{"startedAtMs":2}\n', ['draft', 'draft']],
    ['lines behind a break', '\n{"startedAtMs":1}\n{"startedAtMs":2}', ['draft', 'draft']],
    ['lines behind a byte order mark', '\uFEFF{"startedAtMs":1}\n{"startedAtMs":2}', ['draft', 'draft']],
    ['documents behind a space', ' {"startedAtMs":1} {"startedAtMs":2}', ['draft', 'draft']],
    ['a broken line between good ones', '{"startedAtMs":1}\n{"start\n{"startedAtMs":2}', ['draft', 'refusal', 'draft']],
    [
      'a line that is none before good ones',
      'bad\n{"startedAtMs":1}\n{"startedAtMs":2}',
      ['refusal', 'draft', 'draft'],
    ],
    ['a line that is none before one', 'bad\r\n{"startedAtMs":1}\r\n', ['refusal', 'draft']],
    ['an array that is cut off, over lines', '[\n{"startedAtMs":1},\n{"startedAtMs":2}\n', ['refusal']],
    ['no JSON over lines', 'hello\n{world\n}', ['refusal']],
    ['an object over many lines', '{\n"startedAtMs":1\n}', ['draft']],
    ['a byte order mark', '\uFEFF[{"startedAtMs":1}]', ['draft']],
    ['no JSON at all', 'hello', ['refusal']],
  ])('of %s', (_, text, expected) => {
    expect(kinds(text)).toEqual(expected)
  })

  test.each([
    ['one right behind the other', '{"msec":1}{"msec":2}'],
    ['one behind the other', '{"msec":1} {"msec":2}\n'],
    ['over many lines', '{\n"msec":1\n}\n{\n"msec":2\n}\n'],
  ])('of documents %s, also where lines may be text', (_, text) => {
    const batch = splitBody(Buffer.from(text), { ...shape, source: NGINX })
    expect([batch.inputAt(0), batch.inputAt(1), batch.size]).toEqual(['{"msec":1}', '{"msec":2}', 2])
  })

  test('of a line with documents one after the other, of which none may stand for all', () => {
    const line = (at: number) => JSON.stringify({ msec: `${at}.5`, uri: '/', status: '200' })
    const spoiled = line(2).replace('/', '"')
    const text = `${line(1)}\n${line(1)}${line(2)}\n${spoiled}`
    expect(kinds(text, { source: NGINX })).toEqual(['draft', 'refusal', 'draft'])
  })

  test('of an array that is cut off, which is no line of text that may be passed over', () => {
    for (const text of ['[{"Duration":1},{"Dura', '[\n{"Duration":1},\n']) {
      expect(kinds(text, { source: plainSource(traefik) })).toEqual(['refusal'])
    }
    expect(kinds('[GIN] no\n[2026', { source: plainSource(traefik) })).toEqual(['skip', 'skip'])
  })

  test('of lines', () => {
    expect(kinds('{"startedAtMs":1}\n[]\n', { isNdjson: true })).toEqual(['draft', 'refusal'])
  })

  test('of a CSV', () => {
    const dialect = mappingDialect('m', { format: 'csv', fields: { startedAtMs: { from: 't', time: 'unix_ms' } } })
    expect(kinds('t\n1\nx\n3', { source: plainSource(dialect) })).toEqual(['draft', 'refusal', 'draft'])
  })

  test('are no more than the bound', () => {
    expect(() => kinds(JSON.stringify(Array(11).fill({})))).toThrow(expect.objectContaining({ statusCode: 413 }))
  })

  test('of far more names than any call has are not parsed, whatever has them', () => {
    const body = JSON.stringify({
      startedAtMs: 1,
      labels: Object.fromEntries(
        Array.from({ length: 60_000 }, (_, number) => [`label-${number}-${'x'.repeat(10)}`, 1]),
      ),
    })
    for (const [text, position] of [
      [body, 0],
      [`[{"startedAtMs":1},${body}]`, 1],
    ] as const) {
      const batch = splitBody(Buffer.from(text), shape)
      const message = expect.stringContaining('more than 50000 different names')
      expect(batch.decodedAt(position)).toMatchObject({ reason: 'unreadable', message })
      expect(batch.size).toBe(position + 1)
    }
  })

  test('are not shown when they are no JSON', () => {
    const decoded = splitBody(Buffer.from('{"credential": hunter2}'), shape).decodedAt(0)
    expect(decoded).toMatchObject({ reason: 'unreadable', message: 'This is not JSON.' })
  })
})

describe('a body of more calls than memory has room for is refused before it is held', () => {
  const recordsMax = 1_000
  const shape = { source: plainSource(canonical), fileStem: null, recordsMax }
  test.each([
    ['lines', Buffer.from('1\n'.repeat(8 * MiB)), true],
    ['arrays in an array', Buffer.from(`[${'[],'.repeat(8 * MiB)}[]]`), false],
    ['arrays in arrays', Buffer.from('['.repeat(8 * MiB)), false],
  ])('%s', (_, body, isNdjson) => {
    const before = process.memoryUsage().heapUsed
    expect(() => splitBody(body, { ...shape, isNdjson })).toThrow(
      expect.objectContaining({ code: 'TOO_MANY_CALLS', statusCode: 413 }),
    )
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * MiB)
  })
})

test('a call that is nested deeper than the stack spoils no other', () => {
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
  const body = Buffer.from(`[{"startedAtMs":1},{"startedAtMs":2,"labels":${deep}}]`)
  const batch = splitBody(body, { source: plainSource(canonical), fileStem: null, isNdjson: false, recordsMax: 10_000 })
  expect(batch.inputAt(0)).toBe('{"startedAtMs":1}')
  expect(batch.inputAt(1)).toBe(`{"startedAtMs":2,"labels":${deep}}`)
  expect(batch.decodedAt(1)).toMatchObject({ kind: 'draft' })
})
