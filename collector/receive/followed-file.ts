/**
 * One file that somebody goes on writing, held open, so that it may be renamed or removed under us. It may also be cut
 * off and begin anew (`copytruncate`). Its calls have the ids that `import` would give them.
 */
import { hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { Dialect } from '../normalize/draft.ts'
import { createLineDecoder, hasHeader, type LineDecoder } from './decode-lines.ts'
import { fileStemOf } from './file-stem.ts'
import { stateOf } from './found-files.ts'
import { createLineSplitter, LINE_BYTES_MAX, type LineSplitter, type SplitLines } from './lines.ts'
import { ownBytes } from './own-bytes.ts'
import { type LineBatch, lineBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'
import { compressionOf, delimiterOf } from './source-file.ts'
import { bytesBefore, MARK_BYTES, markOf, type TailPosition } from './tail-positions.ts'

/** What is read and handled at once. */
const CHUNK_BYTES = 256 * 1024

export interface FollowDeps {
  source: CallSource
  /** Where to begin when the recording is not known; later ones under the same identity are read whole. */
  begin: Place
  /** What is remembered of the recording. */
  find: (file: FileHandle, fingerprint: string) => Promise<Place | null>
  /** Resolves when the batch is durable. */
  take: (batch: LineBatch, keyPrefix: string) => Promise<void>
  /** Compressed files are not written bit by bit: they can be imported. */
  onCompressed: () => void
}

/** The begin of a line, and its number from 1. */
type Place = Pick<TailPosition, 'offset' | 'number'>
export const BEGIN: Place = { offset: 0, number: 1 }

/** What is known since the first call is whole. */
interface Recording {
  fingerprint: string
  decoder: LineDecoder
}

export class FollowedFile {
  /** Names the file to people and mappings. */
  readonly path: string
  /** Device and inode. */
  readonly identity: string
  readonly #handle: FileHandle
  readonly #deps: FollowDeps
  readonly #delimiter: string | null
  #begin: Place
  #recording: Recording | null = null
  #header: string | null = null
  /** Nothing of it is read until it begins anew: it is compressed, or its dialect cannot read it. */
  #isLeft = false
  /** Bytes up to here were read, lines up to `#next` are durable. */
  #readOffset = 0
  #next = BEGIN
  /** What stands before that place, if the file was not cut off and grew beyond it again. */
  #recent: Buffer = Buffer.alloc(0)
  /** What stands before `#next`, which may be cut off by the time that it is remembered. */
  #marked: Buffer = Buffer.alloc(0)
  #splitter: LineSplitter

  /** The handle becomes ours. */
  constructor(handle: FileHandle, { path, identity }: Pick<FollowedFile, 'path' | 'identity'>, deps: FollowDeps) {
    this.path = path
    this.identity = identity
    this.#handle = handle
    this.#deps = deps
    this.#delimiter = delimiterOf(deps.source.dialect)
    this.#begin = deps.begin
    this.#splitter = createLineSplitter({ delimiter: this.#delimiter })
  }

  /** True when nothing of it is read until it begins anew. */
  get isLeft(): boolean {
    return this.#isLeft
  }

  /** Reads what is new, up to a chunk. True when there may be more. Throws `DialectError`, and what `take` rejects with. */
  async advance(): Promise<boolean> {
    const { size } = await this.#handle.stat()
    if (size < this.#readOffset) this.#beginAnew()
    if (size === this.#readOffset || this.#isLeft) return false
    const isBegin = this.#readOffset === 0
    const chunk = await this.#read(Math.min(CHUNK_BYTES, size - this.#readOffset))
    if (chunk === null) {
      this.#beginAnew()
      return true
    }
    this.#isLeft = isBegin && compressionOf(chunk) !== null
    if (this.#isLeft) this.#deps.onCompressed()
    else await this.#take(this.#splitter.push(chunk))
    return this.#readOffset < size
  }

  /** Takes the last line, where no break follows it: the file is not written any more. */
  async finish(): Promise<void> {
    if (!this.#isLeft) await this.#take(this.#splitter.end())
  }

  /** Where everything before is durable; `null` before its first call is whole. */
  position(): Omit<TailPosition, 'seenAtMs'> | null {
    if (this.#recording === null) return null
    const { fingerprint } = this.#recording
    return { file: this.path, identity: this.identity, fingerprint, ...this.#next, mark: markOf(this.#marked) }
  }

  /** What it is like now, by `stateOf`; `null` while something of it is to be read. */
  async restingState(): Promise<string | null> {
    const stats = await this.#handle.stat({ bigint: true })
    return this.#isLeft || this.#next.offset === Number(stats.size) ? stateOf(stats) : null
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  #beginAnew(): void {
    this.#recording = null
    this.#header = null
    this.#isLeft = false
    this.#begin = BEGIN
    this.#seek(BEGIN)
  }

  #seek(place: Place): void {
    this.#splitter = createLineSplitter({ delimiter: this.#delimiter, ...place })
    this.#readOffset = place.offset
    this.#next = place
    this.#recent = Buffer.alloc(0)
    this.#marked = Buffer.alloc(0)
  }

  /** `null` when the bytes before the place are not those that were read there. */
  async #read(bytes: number): Promise<Buffer | null> {
    const recent = this.#recent
    const from = this.#readOffset - recent.length
    const buffer = Buffer.allocUnsafe(recent.length + bytes)
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, from)
    if (!buffer.subarray(0, Math.min(bytesRead, recent.length)).equals(recent)) return null
    this.#readOffset = from + bytesRead
    this.#recent = ownBytes(buffer.subarray(Math.max(0, bytesRead - MARK_BYTES), bytesRead))
    return buffer.subarray(recent.length, bytesRead)
  }

  async #take({ lines, consumed, nextOffset, nextNumber }: SplitLines): Promise<void> {
    if (this.#recording === null && !(await this.#recognize(lines))) return
    if (this.#recording !== null && lines.length > 0) {
      const { decoder, fingerprint } = this.#recording
      await this.#deps.take(lineBatch(lines, decoder), `file ${fingerprint}`)
    }
    this.#next = { offset: nextOffset, number: nextNumber }
    this.#marked = ownBytes(Buffer.concat([this.#marked, consumed.subarray(-MARK_BYTES)]).subarray(-MARK_BYTES))
  }

  /** Throws `DialectError`, once. */
  #openDecoder(dialect: Dialect, timezone: string): LineDecoder {
    try {
      return createLineDecoder(dialect, { fileStem: fileStemOf(this.path), header: this.#header, timezone })
    } catch (error) {
      this.#isLeft = true
      throw error
    }
  }

  /** Knows the recording by its first call, and goes on where it was left. False when that is elsewhere. */
  async #recognize(lines: SplitLines['lines']): Promise<boolean> {
    const { source, find } = this.#deps
    const { dialect, timezone } = source
    if (hasHeader(dialect) && this.#header === null) this.#header = lines.shift()?.text ?? null
    const [first] = lines
    if (first === undefined) return true
    const fingerprint = hash('sha256', first.text, 'hex')
    const decoder = this.#openDecoder(dialect, timezone)
    const place = (await find(this.#handle, fingerprint)) ?? this.#begin
    this.#recording = { fingerprint, decoder }
    this.#begin = BEGIN
    if (place.offset === 0) return true
    this.#seek(place)
    this.#marked = await bytesBefore(this.#handle, place.offset, MARK_BYTES)
    this.#recent = this.#marked
    return false
  }
}

/** Where the last line begins that was not whole when so many bytes were there; its number is not known. */
export async function lastLineBegin(handle: FileHandle, bytes: number): Promise<Place> {
  const { size } = await handle.stat()
  // It began anew.
  if (size < bytes) return BEGIN
  const last = await bytesBefore(handle, bytes, LINE_BYTES_MAX)
  return { offset: bytes - last.length + last.lastIndexOf('\n') + 1, number: 1 }
}
