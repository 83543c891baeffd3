/**
 * Bytes into lines with their offsets: the unit in which files are read, resumed and named in errors. A CSV line may hold
 * line breaks between quotes; a quote that is never closed costs its own line, not the rest of the file.
 */
import { jsonText } from '../normalize/redact.ts'
import { ownBytes } from './own-bytes.ts'

const NEWLINE = 10
const CARRIAGE_RETURN = 13
const QUOTE = 34
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

/** Longest line; a longer one becomes a rejection. */
export const LINE_BYTES_MAX = 2 ** 20
/** What is kept of a line that is too long. */
export const KEPT_BYTES = 2 ** 16

export interface Line {
  /** Of its first byte, after decompression. */
  offset: number
  /** Its number, from 1. */
  number: number
  /** Without its line break; the beginning only, when it is too long. */
  text: string
  problem: 'too_long' | 'quote_not_closed' | null
}

/** One line of what a gateway wrote, whatever brought it: text or a JSON value. */
export const lineOf = (written: unknown): string =>
  typeof written === 'string' ? written.trim().replaceAll(/\s*\n\s*/g, ' ') : jsonText(written)

export interface LineSplitterOptions {
  /** Between the fields of a CSV, whose quotes may hold line breaks. `null`: every line break ends a line. */
  delimiter: string | null
  /** Where the first chunk begins, for a file that is read from its middle. */
  offset?: number
  number?: number
}

/** The lines that a chunk completed, empty ones left out, and the bytes that they and their breaks took. */
export interface SplitLines {
  lines: Line[]
  consumed: Buffer
  /** Where the next line begins. */
  nextOffset: number
  nextNumber: number
}

export interface LineSplitter {
  push(chunk: Buffer): SplitLines
  /** The last line, where no break follows it. */
  end(): SplitLines
}

/** What one look at the bytes that are there completed. */
interface Look {
  lines: Line[]
  /** Index of the first byte that is to be looked at again, with more behind it. */
  end: number
  nextNumber: number
}

/** Keeps what `look` did not complete for the next chunk. It is told where the bytes begin, and whether they are the last. */
export function splitterBy(
  offset: number,
  look: (buffer: Buffer, at: { offset: number; isLast: boolean }) => Look,
): LineSplitter {
  let rest: Buffer = Buffer.alloc(0)
  const split = (buffer: Buffer, isLast: boolean): SplitLines => {
    const { lines, end, nextNumber } = look(buffer, { offset, isLast })
    offset += end
    // A copy, so that a few bytes do not hold the whole chunk.
    rest = ownBytes(buffer.subarray(end))
    return { lines, consumed: buffer.subarray(0, end), nextOffset: offset, nextNumber }
  }
  return {
    push: chunk => split(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]), false),
    end: () => split(rest, true),
  }
}

/** Holds at most one unfinished line of `LINE_BYTES_MAX` and a chunk. */
export function createLineSplitter({ delimiter, offset: from = 0, number = 1 }: LineSplitterOptions): LineSplitter {
  /** Inside a line that is too long: it was reported, its remainder is dropped. */
  let isSkipping = false
  const quotes: OpenQuotes = { from: 0, until: 0 }

  return splitterBy(from, (buffer, { offset, isLast }) => {
    const findEnd =
      delimiter === null ? breakFinder(buffer) : unquotedBreakFinder(buffer, delimiter.charCodeAt(0), quotes)
    const lines: Line[] = []
    let begin = offset === 0 && buffer.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? 3 : 0
    while (begin < buffer.length) {
      const found = lineEnd(buffer, begin, isSkipping ? breakFinder(buffer) : findEnd, isLast)
      if (found === null) break
      const { end, problem, isUnfinished } = found
      const text = isSkipping ? '' : textOf(buffer, begin, problem === 'too_long' ? begin + KEPT_BYTES : end)
      if (text !== '') lines.push({ offset: offset + begin, number, text, problem })
      if (!isUnfinished) number += 1 + (delimiter === null ? 0 : breaksIn(buffer.subarray(begin, end)))
      isSkipping = isUnfinished
      begin = Math.min(end + 1, buffer.length)
    }
    quotes.from -= begin
    quotes.until -= begin
    return { lines, end: begin, nextNumber: number }
  })
}

/** Answers where the line ends that begins there: the index of its break, or why there is none. */
type FindEnd = (begin: number) => number
const NO_BREAK = -1
const QUOTE_OPEN = -2

interface LineEnd {
  end: number
  problem: Line['problem']
  /** The line goes on behind the buffer, which is as much of it as will be looked at. */
  isUnfinished: boolean
}

/** `null` when more bytes are needed to tell. */
function lineEnd(buffer: Buffer, begin: number, findEnd: FindEnd, isLast: boolean): LineEnd | null {
  const found = findEnd(begin)
  const length = (found >= 0 ? found : buffer.length) - begin
  if (found >= 0 && length <= LINE_BYTES_MAX) return { end: found, problem: null, isUnfinished: false }
  if (found < 0 && !isLast && length <= LINE_BYTES_MAX) return null
  const plainEnd = buffer.indexOf(NEWLINE, begin)
  if (plainEnd >= 0 && found !== plainEnd && (found !== NO_BREAK || length > LINE_BYTES_MAX)) {
    // The quote that goes on and on belongs to the text: the line ends where it would without.
    return { end: plainEnd, problem: 'quote_not_closed', isUnfinished: false }
  }
  if (isLast && found === QUOTE_OPEN) return { end: buffer.length, problem: 'quote_not_closed', isUnfinished: false }
  return { end: begin + length, problem: problemOfLength(length), isUnfinished: found < 0 && !isLast }
}

const problemOfLength = (bytes: number) => (bytes > LINE_BYTES_MAX ? 'too_long' : null)

const breakFinder =
  (buffer: Buffer): FindEnd =>
  begin =>
    buffer.indexOf(NEWLINE, begin)

/**
 * A line whose quote is open at the end of the buffer was read from `from` to `until`. Every line between is inside of
 * quotes for it. A line that begins there and is inside of quotes at its own first break is so for the same reasons, and
 * need not be read again: else a file of such lines would be read once a line.
 */
interface OpenQuotes {
  from: number
  until: number
}

/** Fast where there are no quotes: the place of the next one is remembered. */
function unquotedBreakFinder(buffer: Buffer, delimiter: number, quotes: OpenQuotes): FindEnd {
  let nextQuote = buffer.indexOf(QUOTE)
  return begin => {
    if (nextQuote >= 0 && nextQuote < begin) nextQuote = buffer.indexOf(QUOTE, begin)
    const end = buffer.indexOf(NEWLINE, begin)
    return nextQuote < 0 || (end >= 0 && end < nextQuote) ? end : unquotedBreak(buffer, begin, delimiter, quotes)
  }
}

/** A quote opens at the begin of a field only; elsewhere it is a character like others. */
function unquotedBreak(buffer: Buffer, begin: number, delimiter: number, quotes: OpenQuotes): number {
  let isQuoted = false
  let isFieldBegin = true
  for (let index = begin; index < buffer.length; index++) {
    const byte = buffer[index]
    if (isQuoted) {
      if (byte === QUOTE) {
        // Two quotes are one in the text.
        if (buffer[index + 1] === QUOTE) index++
        else isQuoted = false
      } else if (byte === NEWLINE && index >= quotes.from && index < quotes.until) {
        index = quotes.until - 1
      }
      continue
    }
    if (byte === NEWLINE) return index
    isQuoted = byte === QUOTE && isFieldBegin
    isFieldBegin = byte === delimiter
  }
  if (!isQuoted) return NO_BREAK
  quotes.from = begin
  quotes.until = buffer.length
  return QUOTE_OPEN
}

function textOf(buffer: Buffer, begin: number, end: number): string {
  const hasReturn = end > begin && buffer[end - 1] === CARRIAGE_RETURN
  return buffer.toString('utf8', begin, hasReturn ? end - 1 : end)
}

export function breaksIn(part: Buffer): number {
  let breaks = 0
  for (let at = part.indexOf(NEWLINE); at >= 0; at = part.indexOf(NEWLINE, at + 1)) breaks++
  return breaks
}
