/** A file of recorded calls: its lines in blocks of bounded size, compressed or not, from any line on. */
import { createHash, hash } from 'node:crypto'
import { createReadStream, type ReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import type { Dialect } from '../normalize/draft.ts'
import { hasHeader } from './decode-lines.ts'
import { fileStemOf } from './file-stem.ts'
import { createItemSplitter, isArrayOfItems } from './item-splitter.ts'
import { createLineSplitter, type Line, type LineSplitter, type SplitLines } from './lines.ts'
import { createFrameSplit } from './zstd-frames.ts'

/** What is read, decompressed and handled at once. */
const CHUNK_BYTES = 256 * 1024
const MAGIC_BYTES = 4
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b])
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

/** A file that cannot be read, or stops being what it began as. */
class SourceFileError extends Error {
  readonly code = 'FILE_UNREADABLE'

  constructor(path: string, cause: unknown) {
    super(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = 'SourceFileError'
  }
}

interface Chunk {
  bytes: Buffer
  /** Of the file as it lies on disk, so far. */
  bytesRead: number
}

/** Gzip and zstd are told by their first bytes. Throws `SourceFileError`. */
async function* chunksOf(path: string): AsyncGenerator<Chunk> {
  try {
    const magic = await firstBytes(path)
    const file = createReadStream(path, { highWaterMark: CHUNK_BYTES })
    for await (const bytes of decompressed(file, magic)) yield { bytes, bytesRead: file.bytesRead }
  } catch (error) {
    throw new SourceFileError(path, error)
  }
}

/** The iterator of the last stream reports what goes wrong in any. */
function decompressed(file: ReadStream, begin: Buffer): Readable {
  const options = { chunkSize: CHUNK_BYTES }
  switch (compressionOf(begin)) {
    case 'gzip':
      return pipeline(file, createGunzip(options), () => undefined)
    case 'zstd':
      return pipeline(file, framesOf, createZstdDecompress(options), () => undefined)
    case null:
      return file
  }
}

async function* framesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const split = createFrameSplit()
  for await (const chunk of chunks) yield* split(chunk)
}

/** How a file that begins so is compressed, `null` when it is not. */
export function compressionOf(begin: Buffer): 'gzip' | 'zstd' | null {
  if (begin.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) return 'gzip'
  return begin.subarray(0, ZSTD_MAGIC.length).equals(ZSTD_MAGIC) ? 'zstd' : null
}

/** The beginning of a file, decompressed, at most `bytesMax`. Throws `SourceFileError`. */
export async function beginningOf(path: string, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let left = bytesMax
  for await (const { bytes } of chunksOf(path)) {
    chunks.push(bytes.subarray(0, left))
    left -= bytes.length
    if (left <= 0) break
  }
  return Buffer.concat(chunks)
}

async function firstBytes(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** A place between two lines, and what stood before it. */
export interface LinePosition {
  offset: number
  number: number
  /** SHA-256 of all bytes before it. */
  prefixHash: string
}

export interface LineBlock {
  lines: Line[]
  /** Behind the block. */
  next: LinePosition
  /** No break follows it: its last line may still be being written. */
  isOpen: boolean
  bytesRead: number
}

/** What is known of a file before it is imported. */
export interface SourceFile {
  path: string
  fileStem: string
  /** On disk. */
  bytes: number
  /** The names of the columns, where the first line has them. */
  header: string | null
  /** Identifies the recording, whatever its file is called and however far it has grown; `null` for one without calls. */
  fingerprint: string | null
  /** Where its first call is. */
  begin: Pick<LinePosition, 'offset' | 'number'>
}

/** What `createLineSplitter` has to know of a dialect. */
export const delimiterOf = ({ framing }: Dialect) => (framing.kind === 'csv' ? framing.delimiter : null)

/** Reads as far as the first call. Throws `SourceFileError`. */
export async function inspectFile(path: string, dialect: Dialect): Promise<SourceFile> {
  const bytes = await sizeOf(path)
  const wanted = hasHeader(dialect) ? 2 : 1
  const lines: Line[] = []
  for await (const block of blocksOf(path, dialect, { offset: 0, number: 1 })) {
    lines.push(...block.lines.slice(0, wanted))
    if (lines.length >= wanted) break
  }
  const header = hasHeader(dialect) ? (lines.shift()?.text ?? null) : null
  const [first] = lines
  return {
    path,
    fileStem: fileStemOf(path),
    bytes,
    header,
    fingerprint: first === undefined ? null : hash('sha256', first.text, 'hex'),
    begin: { offset: first?.offset ?? 0, number: first?.number ?? 1 },
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    const file = await open(path)
    try {
      return (await file.stat()).size
    } finally {
      await file.close()
    }
  } catch (error) {
    throw new SourceFileError(path, error)
  }
}

/** The lines, or the items of an array, from a place on. What stands before it is read too, since its hash is part of every later place. */
export async function* blocksOf(
  path: string,
  dialect: Dialect,
  begin: Pick<LinePosition, 'offset' | 'number'>,
): AsyncGenerator<LineBlock> {
  const prefix = createHash('sha256')
  let splitter: LineSplitter | null = null
  let toSkip = begin.offset
  let bytesRead = 0
  const blockOf = ({ lines, consumed, nextOffset, nextNumber }: SplitLines, isOpen: boolean): LineBlock => {
    prefix.update(consumed)
    const next = { offset: nextOffset, number: nextNumber, prefixHash: prefix.copy().digest('hex') }
    return { lines, next, isOpen, bytesRead }
  }
  for await (const chunk of chunksOf(path)) {
    splitter ??= splitterOf(dialect, chunk.bytes, begin)
    const skipped = chunk.bytes.subarray(0, toSkip)
    prefix.update(skipped)
    toSkip -= skipped.length
    bytesRead = chunk.bytesRead
    yield blockOf(splitter.push(chunk.bytes.subarray(skipped.length)), false)
  }
  if (splitter !== null) yield blockOf(splitter.end(), true)
}

/** For a file of which `head` is the beginning. */
function splitterOf(dialect: Dialect, head: Buffer, begin: Pick<LinePosition, 'offset' | 'number'>): LineSplitter {
  const mayBeArray = dialect.framing.kind !== 'csv' && dialect.unwrap === undefined
  if (mayBeArray && isArrayOfItems(head)) return createItemSplitter(begin)
  return createLineSplitter({ delimiter: delimiterOf(dialect), ...begin })
}

/** True when the file still begins with what stood before `position`. */
export async function startsWith(path: string, { offset, prefixHash }: LinePosition): Promise<boolean> {
  const prefix = createHash('sha256')
  let left = offset
  for await (const { bytes } of chunksOf(path)) {
    const part = bytes.subarray(0, left)
    prefix.update(part)
    left -= part.length
    if (left === 0) break
  }
  return left === 0 && prefix.digest('hex') === prefixHash
}
