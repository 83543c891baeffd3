/** The body of a request: decompressed within bounds, and divided into raw inputs. */
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, inflateRaw, type ZlibOptions, zstdDecompress } from 'node:zlib'
import { type DecodeContext, type Dialect, type Refusal, refusal } from '../normalize/draft.ts'
import { areSeveral, splitJson } from '../normalize/split-json.ts'
import { createLineDecoder, hasHeader } from './decode-lines.ts'
import { parseJson } from './json.ts'
import { arrayItems } from './json-array.ts'
import { createLineSplitter, type Line, lineOf } from './lines.ts'
import { lineBatch, type RawBatch, singleBatch, valueBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'
import { createFrameSplit } from './zstd-frames.ts'

/** Lines are looked for in pieces, so that too many of them are noticed before all of them are held. */
const PIECE_BYTES = 2 ** 20
/** Objects and arrays of one JSON document: small ones take fifty times their bytes in memory. */
const NESTED_MAX = 2 ** 19

type BodyErrorCode = 'BODY_TOO_LARGE' | 'BODY_UNREADABLE' | 'ENCODING_UNSUPPORTED' | 'TOO_MANY_CALLS'

/** A body that cannot be taken as a whole; the sender must send another one. */
export class BodyError extends Error {
  readonly statusCode: 400 | 413 | 415
  readonly code: BodyErrorCode

  constructor(code: BodyErrorCode, message: string) {
    super(message)
    this.name = 'BodyError'
    this.code = code
    this.statusCode = code === 'BODY_UNREADABLE' ? 400 : code === 'ENCODING_UNSUPPORTED' ? 415 : 413
  }
}

type Decompress = (body: Buffer, options: { maxOutputLength: number; chunkSize: number }) => Promise<Buffer>

const ZLIB_METHOD_DEFLATE = 8
const inflateZlib = promisify<Buffer, ZlibOptions, Buffer>(inflate)
const inflateBare = promisify<Buffer, ZlibOptions, Buffer>(inflateRaw)

/** Some senders take `deflate` for the bare stream, others as the standard has it, with zlib's header. */
const inflateEither: Decompress = (body, options) =>
  ((body[0] ?? 0) & 0x0f) === ZLIB_METHOD_DEFLATE ? inflateZlib(body, options) : inflateBare(body, options)

const decompressFrame = promisify(zstdDecompress) as Decompress
/** More frames than any sender makes of a body; each costs a turn, however little is in it. */
const FRAMES_MAX = 1_000

const decompressFrames: Decompress = async (body, { maxOutputLength, chunkSize }) => {
  const frames = createFrameSplit(FRAMES_MAX)(body)
  if (frames.length > FRAMES_MAX) throw new RangeError(`more than ${FRAMES_MAX} frames`)
  const parts: Buffer[] = []
  let left = maxOutputLength
  for (const frame of frames.length === 0 ? [body] : frames) {
    const part = await decompressFrame(frame, { maxOutputLength: Math.max(1, left), chunkSize })
    left -= part.length
    parts.push(part)
  }
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
}

const DECOMPRESS: Readonly<Record<string, Decompress>> = {
  gzip: promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  deflate: inflateEither,
  br: promisify(brotliDecompress) as Decompress,
  zstd: decompressFrames,
}
/** What `Content-Encoding` may be. */
export const ENCODINGS = Object.keys(DECOMPRESS)

/** What most bodies grow by at most. A body that is decompressed in one piece takes half of the time. */
const EXPANSION = 8
const PIECE_BYTES_MIN = 1_024
const PIECE_BYTES_MAX = 2 ** 20
/** Of all of Node's decompressors. */
const ENDS_EARLY = 'Z_BUF_ERROR'
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b])

/** Throws `BodyError`; a bomb costs no more than `bytesMax`. */
export async function decompressBody(body: Buffer, encoding: string, bytesMax: number): Promise<Buffer> {
  const given = encoding.trim().toLowerCase()
  // Some senders compress and do not say so; neither JSON nor a line begins like that.
  const name = given === '' && body.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC) ? 'gzip' : given
  if (name === '' || name === 'identity') {
    if (body.length > bytesMax) throw tooLarge(bytesMax)
    return body
  }
  const decompress = Object.hasOwn(DECOMPRESS, name) ? DECOMPRESS[name] : undefined
  if (decompress === undefined) {
    throw new BodyError('ENCODING_UNSUPPORTED', `Content-Encoding is one of ${ENCODINGS.join(', ')}.`)
  }
  try {
    const chunkSize = Math.min(Math.max(EXPANSION * body.length, PIECE_BYTES_MIN), PIECE_BYTES_MAX)
    return await decompress(body, { maxOutputLength: Math.max(1, bytesMax), chunkSize })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bytesMax)
    const isBegin = code === ENDS_EARLY
    const words = isBegin ? `The body breaks off before its ${name} ends, or is none.` : `The body is not ${name}.`
    throw new BodyError('BODY_UNREADABLE', words)
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
 * A JSON object, an array of them, objects in lines or one after the other, lines of text, or a CSV: the raw inputs of a
 * body. Where JSON is due, what is none is one unreadable input. Throws `BodyError` for too many, `DialectError` for a CSV
 * that lacks columns.
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

function isDense(body: Buffer): boolean {
  let left = NESTED_MAX
  for (const begin of [OBJECT_BEGIN, ARRAY_BEGIN]) {
    for (let at = body.indexOf(begin); at >= 0; at = body.indexOf(begin, at + 1)) if (--left < 0) return true
  }
  return false
}

/** Throws `BodyError` for a document that would take far more memory than its bytes. */
export function parseBody(body: Buffer): { text: string; parsed: ReturnType<typeof parseJson> } {
  const text = jsonTextOf(body)
  return { text, parsed: parseJson(text) }
}

function jsonTextOf(body: Buffer): string {
  if (isDense(body)) {
    throw new BodyError('TOO_MANY_CALLS', `More than ${NESTED_MAX} objects and arrays at once: send less.`)
  }
  return body.toString('utf8').replace(/^\uFEFF/, '')
}

function jsonBatch(body: Buffer, shape: BodyShape): RawBatch {
  const { source, fileStem, recordsMax } = shape
  const { dialect, timezone } = source
  const context = { fileStem, columns: null, timezone }
  const text = jsonTextOf(body)
  const items = dialect.unwrap === undefined ? arrayItems(text, recordsMax) : null
  if (items !== null) return itemBatch(items, dialect, context)
  const parsed = parseJson(text)
  if (parsed.kind === 'value') {
    return valueBatch(dialect.unwrap?.(parsed.value) ?? [parsed.value], dialect.open(context), context)
  }
  if (text.trim() === '') return valueBatch([], () => refusal('unreadable', 'There is nothing.'))
  // Many shippers send lines of JSON under the type of a single document.
  const isObject = text.trimStart().startsWith('{')
  const documents = isObject && !isFirstLineWhole(text) ? splitJson(text) : []
  const isArray = BROKEN_ARRAY.test(text)
  const isText = dialect.framing.kind === 'text' && !isArray
  const isLines = isText || (text.trim().includes('\n') && (isObject || (!isArray && OBJECT_LINE.test(text))))
  if (isLines && !areSeveral(documents)) return bodyLines(body, shape)
  if (documents.length > 1) return bodyLines(Buffer.from(documents.map(lineOf).join('\n')), shape)
  return singleBatch(unreadable(parsed.message, dialect), text)
}

/** How text begins that was meant to be an array, and how no gateway's line does. */
const BROKEN_ARRAY = /^\s*\[\s*[[{"]/

/** One broken line, though it be the first, is not to cost the others. */
const OBJECT_LINE = /^[ \t]*\{.*\}[ \t\r]*$/m

function isFirstLineWhole(text: string): boolean {
  const [line = ''] = text.trimStart().split('\n', 1)
  return parseJson(line).kind === 'value'
}

const unreadable = (message: string, { hasUnnamedSecrets }: Dialect): Refusal => ({
  ...refusal('unreadable', message),
  isInputSecret: hasUnnamedSecrets,
})

/** An item is parsed when its turn comes. */
function itemBatch(items: readonly string[], dialect: Dialect, context: DecodeContext): RawBatch {
  const decode = dialect.open(context)
  const itemAt = (position: number) => (items[position] ?? '').trim()
  const textIn = (item: string) => {
    const parsed = parseJson(item)
    return parsed.kind === 'value' && typeof parsed.value === 'string' ? parsed.value : item
  }
  return {
    size: items.length,
    context,
    decodedAt(position) {
      const parsed = parseJson(itemAt(position))
      return parsed.kind === 'value' ? decode(parsed.value) : unreadable(parsed.message, dialect)
    },
    // A line of text is kept as a line, for a replay to read.
    inputAt(position) {
      const item = itemAt(position)
      return item.startsWith('"') ? textIn(item) : item
    },
  }
}
