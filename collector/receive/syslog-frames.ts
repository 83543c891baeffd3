/**
 * Syslog messages of a TCP or TLS connection (RFC 6587, RFC 5425): each with its length before it, or with a line break
 * behind it. Senders mix both, so every message is told by itself: a length is digits, a space and the `<` of a priority.
 * Of a sender who counts, what stands where a length is due ends where the next one is: some count characters, not bytes.
 */
import type { Line } from './lines.ts'
import { ownBytes } from './own-bytes.ts'

/** Longest message; the rest of a longer one is dropped, and it becomes a rejection. */
export const MESSAGE_BYTES_MAX = 256 * 1024
/** What is kept of a message that is too long. */
const KEPT_BYTES = 2 ** 16
const NEWLINE = 10
const CARRIAGE_RETURN = 13
const DIGIT_ONE = 49
const DIGIT_NINE = 57
const LENGTH = /^([1-9]\d{0,7}) </
/** What may still become one. */
const LENGTH_BEGIN = /^[1-9]\d{0,7} ?$/
const LENGTH_BYTES_MAX = 10
/** Where the next message begins behind one whose length was wrong. */
const NEXT_LENGTH = /(?<!\d)[1-9]\d{0,7} <\d{1,3}>/

export type Frame = Pick<Line, 'text' | 'problem'>

export interface FrameSplitter {
  push(chunk: Buffer): Frame[]
  /** The last message, where no break follows it. */
  end(): Frame[]
}

interface Extent {
  /** Where the message begins and ends, and where what follows it begins. */
  begin: number
  end: number
  next: number
}

/** Holds at most one unfinished message and a chunk. */
export function createFrameSplitter(): FrameSplitter {
  let rest: Buffer = Buffer.alloc(0)
  /** Bytes to drop of a message that was too long; `null`: all until a line break. */
  let dropping: number | null = 0
  /** It has counted a message. */
  let counts = false

  const drop = (buffer: Buffer): number => {
    if (dropping === null) {
      const extent = lineExtent(buffer, 0, { isLast: false, counts })
      if (extent === null || extent.next > buffer.length) return buffer.length
      dropping = 0
      return extent.next
    }
    const dropped = Math.min(dropping, buffer.length)
    dropping -= dropped
    return dropped
  }

  const split = (buffer: Buffer, isLast: boolean): Frame[] => {
    const frames: Frame[] = []
    let at = drop(buffer)
    while (at < buffer.length) {
      const extent = extentOf(buffer, at, { isLast, counts })
      if (extent === null) break
      const { begin, end, next } = extent
      counts ||= begin > at
      const isTooLong = end - begin > MESSAGE_BYTES_MAX
      const text = textOf(buffer.subarray(begin, isTooLong ? begin + KEPT_BYTES : end))
      if (text !== '') frames.push({ text, problem: isTooLong ? 'too_long' : null })
      if (next > buffer.length) dropping = Number.isFinite(next) ? next - buffer.length : null
      at = Math.min(next, buffer.length)
    }
    // A copy, so that a few bytes do not hold the whole chunk.
    rest = ownBytes(buffer.subarray(at))
    return frames
  }

  return {
    push: chunk => split(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]), false),
    end: () => split(rest, true),
  }
}

interface Reading {
  /** No more will come. */
  isLast: boolean
  counts: boolean
}

/** The message that begins there, `null` when more bytes are needed. One that is too long may go on behind the buffer. */
function extentOf(buffer: Buffer, at: number, reading: Reading): Extent | null {
  const { isLast } = reading
  const first = buffer[at] ?? 0
  if (first < DIGIT_ONE || first > DIGIT_NINE) return lineExtent(buffer, at, reading)
  const head = buffer.toString('latin1', at, at + LENGTH_BYTES_MAX)
  const length = LENGTH.exec(head)?.[1]
  if (length === undefined) {
    const isUndecided = !isLast && head.length < LENGTH_BYTES_MAX && LENGTH_BEGIN.test(head)
    return isUndecided ? null : lineExtent(buffer, at, reading)
  }
  const begin = at + length.length + 1
  const end = begin + Number(length)
  if (end <= buffer.length) return { begin, end, next: end }
  const isTooLong = Number(length) > MESSAGE_BYTES_MAX
  if (isLast) return { begin, end: isTooLong ? end : buffer.length, next: buffer.length }
  return isTooLong && buffer.length - begin >= KEPT_BYTES ? { begin, end, next: end } : null
}

function lineExtent(buffer: Buffer, begin: number, { isLast, counts }: Reading): Extent | null {
  const found = buffer.indexOf(NEWLINE, begin)
  if (found >= 0) return { begin, end: found, next: found + 1 }
  const offset = counts ? buffer.toString('latin1', begin).search(NEXT_LENGTH) : -1
  if (offset > 0) return { begin, end: begin + offset, next: begin + offset }
  const end = buffer.length
  if (isLast) return { begin, end, next: end }
  return end - begin > MESSAGE_BYTES_MAX ? { begin, end, next: Number.POSITIVE_INFINITY } : null
}

/** Senders end messages with breaks and zeros besides what frames them. */
export function textOf(message: Buffer): string {
  let end = message.length
  while (end > 0 && isEnding(message[end - 1])) end--
  return message.toString('utf8', 0, end)
}

const isEnding = (byte: number | undefined) => byte === NEWLINE || byte === CARRIAGE_RETURN || byte === 0
