/** The body of a request: decompressed within bounds, and divided into raw inputs. */
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, inflateRaw, type ZlibOptions, zstdDecompress } from 'node:zlib'
import { type Dialect, type Refusal, refusal } from '../normalize/draft.ts'
import { createLineDecoder, hasHeader } from './decode-lines.ts'
import { parseJson } from './json.ts'
import { createLineSplitter, type Line } from './lines.ts'
import { lineBatch, type RawBatch, singleBatch, valueBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'

/** Lines are looked for in pieces, so that too many of them are noticed before all of them are held. */
const PIECE_BYTES = 2 ** 20
/** Objects and arrays of one call, its own and those within: more make a document that takes fifty times its bytes. */
const NESTED_PER_CALL_MAX = 32

type BodyErrorCode = 'BODY_TOO_LARGE' | 'BODY_UNREADABLE' | 'ENCODING_UNSUPPORTED' | 'TOO_MANY_CALLS'

/** A body that cannot be taken as a whole; the sender must send another one. */
class BodyError extends Error {
  readonly statusCode: 400 | 413 | 415
  readonly code: BodyErrorCode

  constructor(code: BodyErrorCode, message: string) {
    super(message)
    this.name = 'BodyError'
    this.code = code
    this.statusCode = code === 'BODY_UNREADABLE' ? 400 : code === 'ENCODING_UNSUPPORTED' ? 415 : 413
  }
}

type Decompress = (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>

const ZLIB_METHOD_DEFLATE = 8
const inflateZlib = promisify<Buffer, ZlibOptions, Buffer>(inflate)
const inflateBare = promisify<Buffer, ZlibOptions, Buffer>(inflateRaw)

/** Some senders take `deflate` for the bare stream, others as the standard has it, with zlib's header. */
const inflateEither: Decompress = (body, options) =>
  ((body[0] ?? 0) & 0x0f) === ZLIB_METHOD_DEFLATE ? inflateZlib(body, options) : inflateBare(body, options)

const DECOMPRESS: Readonly<Record<string, Decompress>> = {
  gzip: promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  deflate: inflateEither,
  br: promisify(brotliDecompress) as Decompress,
  zstd: promisify(zstdDecompress) as Decompress,
}
/** What `Content-Encoding` may be. */
export const ENCODINGS = Object.keys(DECOMPRESS)

/** Throws `BodyError`; a bomb costs no more than `bytesMax`. */
export async function decompressBody(body: Buffer, encoding: string, bytesMax: number): Promise<Buffer> {
  const name = encoding.trim().toLowerCase()
  if (name === '' || name === 'identity') {
    if (body.length > bytesMax) throw tooLarge(bytesMax)
    return body
  }
  const decompress = Object.hasOwn(DECOMPRESS, name) ? DECOMPRESS[name] : undefined
  if (decompress === undefined) {
    throw new BodyError('ENCODING_UNSUPPORTED', `Content-Encoding is one of ${ENCODINGS.join(', ')}.`)
  }
  try {
    return await decompress(body, { maxOutputLength: bytesMax })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bytesMax)
    throw new BodyError('BODY_UNREADABLE', `The body is not ${name}.`)
  }
}

const tooLarge = (bytesMax: number) =>
  new BodyError('BODY_TOO_LARGE', `The body is larger than ${bytesMax} bytes when decompressed: send less at once.`)

export interface BodyShape {
  source: CallSource
  /** Of the file that the body is, for mappings that name it. */
  fileStem: string | null
  /** One JSON document a line. */
  isNdjson: boolean
  recordsMax: number
}

/**
 * A JSON object, an array of them, lines of either, or of text, or a CSV: the raw inputs of a body. Where JSON is due, what
 * is none is one unreadable input. Throws `BodyError` for too many, `DialectError` for a CSV that lacks columns.
 */
export function splitBody(body: Buffer, shape: BodyShape): RawBatch {
  const { source, isNdjson, recordsMax } = shape
  const isLines = source.dialect.framing.kind === 'csv' || isNdjson
  const batch = isLines ? bodyLines(body, shape) : jsonBatch(body, shape)
  if (batch.size > recordsMax) throw tooMany(recordsMax)
  return batch
}

const tooMany = (recordsMax: number) => new BodyError('TOO_MANY_CALLS', `More than ${recordsMax} calls at once.`)

function bodyLines(body: Buffer, { source, fileStem, recordsMax }: BodyShape): RawBatch {
  const { dialect, timezone } = source
  const lines = linesOf(body, dialect, recordsMax + 1)
  const header = hasHeader(dialect) ? (lines.shift()?.text ?? null) : null
  return lineBatch(lines, createLineDecoder(dialect, { fileStem, header, timezone }))
}

function linesOf(body: Buffer, { framing }: Dialect, linesMax: number): Line[] {
  const splitter = createLineSplitter({ delimiter: framing.kind === 'csv' ? framing.delimiter : null })
  const lines: Line[] = []
  for (let at = 0; at < body.length; at += PIECE_BYTES) {
    for (const line of splitter.push(body.subarray(at, at + PIECE_BYTES)).lines) lines.push(line)
    if (lines.length > linesMax) throw tooMany(linesMax - 1)
  }
  for (const line of splitter.end().lines) lines.push(line)
  return lines
}

const OBJECT_BEGIN = '{'.charCodeAt(0)

const ARRAY_BEGIN = '['.charCodeAt(0)

/** True when more objects and arrays begin in the body than `nestedMax`. */
function isDense(body: Buffer, nestedMax: number): boolean {
  let left = nestedMax
  for (const begin of [OBJECT_BEGIN, ARRAY_BEGIN]) {
    for (let at = body.indexOf(begin); at >= 0; at = body.indexOf(begin, at + 1)) if (--left < 0) return true
  }
  return false
}

function jsonBatch(body: Buffer, shape: BodyShape): RawBatch {
  const { source, fileStem, recordsMax } = shape
  const { dialect, timezone } = source
  if (isDense(body, NESTED_PER_CALL_MAX * recordsMax)) {
    throw new BodyError('TOO_MANY_CALLS', `As many objects and arrays as more than ${recordsMax} calls at once.`)
  }
  const text = body.toString('utf8').replace(/^\uFEFF/, '')
  if (text.trim() === '') return valueBatch([], () => refusal('unreadable', 'There is nothing.'))
  const parsed = parseJson(text)
  if (parsed.kind === 'value') {
    return valueBatch(inputsOf(parsed.value, dialect), dialect.open({ fileStem, columns: null, timezone }))
  }
  // Many shippers send lines of JSON under the type of a single document.
  const isLines = dialect.framing.kind === 'text' || (body[0] === OBJECT_BEGIN && text.trimEnd().includes('\n'))
  if (isLines) return bodyLines(body, shape)
  const refused: Refusal = { ...refusal('unreadable', parsed.message), isInputSecret: dialect.hasUnnamedSecrets }
  return singleBatch(refused, text)
}

function inputsOf(document: unknown, { unwrap }: Dialect): readonly unknown[] {
  if (unwrap !== undefined) return unwrap(document)
  return Array.isArray(document) ? document : [document]
}
