/**
 * The items of a JSON array that is a file, as lines are of others: each with its offset, so that an import can go on
 * behind it. An item holds line breaks where the file is laid out for people. Arrays may follow each other.
 */
import { breaksIn, KEPT_BYTES, LINE_BYTES_MAX, type Line, type LineSplitter, splitterBy } from './lines.ts'

const HEAD_BYTES = 1_024
/** How a file begins that is an array of calls, and how no gateway's line does. */
const ARRAY = /^\uFEFF?\s*\[\s*[{"]/
const [QUOTE, COMMA, BACKSLASH] = [34, 44, 92]
const [ARRAY_OPEN, ARRAY_CLOSE, OBJECT_OPEN, OBJECT_CLOSE] = [91, 93, 123, 125]
const SPACE = 32
/** From here on no item begins: the bytes of a byte order mark. */
const ASCII_END = 128

/** True for a file that begins so. */
export const isArrayOfItems = (begin: Buffer): boolean => ARRAY.test(begin.toString('utf8', 0, HEAD_BYTES))

/** Holds at most one unfinished item of `LINE_BYTES_MAX` and a chunk. */
export function createItemSplitter({ offset: from, number }: { offset: number; number: number }): LineSplitter {
  /** Inside an item that is too long: it was reported, its remainder is dropped. */
  let isSkipping = false
  let scan = newScan()

  return splitterBy(from, (buffer, { offset, isLast }) => {
    const lines: Line[] = []
    let begin = 0
    const take = (end: number, problem: Line['problem']) => {
      const text = itemText(buffer, begin, problem === null ? end : begin + KEPT_BYTES)
      if (!isSkipping && text !== '') lines.push({ offset: offset + begin, number, text, problem })
    }
    const goOn = (at: number) => {
      number += breaksIn(buffer.subarray(begin, at))
      begin = at
    }
    for (;;) {
      if (scan.at === 0 && !isSkipping) goOn(itemBegin(buffer, begin))
      const end = scan.next(buffer, begin)
      const isCut = end < 0 && buffer.length - begin > LINE_BYTES_MAX
      if (end < 0 && !isCut && !isLast) break
      const itemEnd = end < 0 ? buffer.length : end
      take(itemEnd, itemEnd - begin > LINE_BYTES_MAX ? 'too_long' : null)
      isSkipping = isCut && !isLast
      goOn(itemEnd)
      if (end < 0) {
        scan.at = 0
        break
      }
      scan = newScan()
    }
    return { lines, end: begin, nextNumber: number }
  })
}

/** Where the next item begins: behind what stands between items. */
function itemBegin(buffer: Buffer, from: number): number {
  let at = from
  for (let byte = buffer[at]; byte !== undefined; byte = buffer[++at]) {
    const isBetween = byte <= SPACE || byte >= ASCII_END || byte === COMMA
    if (!isBetween && byte !== ARRAY_OPEN && byte !== ARRAY_CLOSE) break
  }
  return at
}

/** Looks for the end of one item; what was looked at is not looked at again when more has come. */
function newScan() {
  let depth = 0
  let isInText = false
  let isEscaped = false
  const scan = {
    /** How far the item was looked at. */
    at: 0,
    /** The index behind the item that begins at `begin`; -1 when it is not there yet. */
    next(buffer: Buffer, begin: number): number {
      for (; begin + scan.at < buffer.length; scan.at++) {
        const byte = buffer[begin + scan.at]
        if (isInText) {
          if (isEscaped) isEscaped = false
          else if (byte === BACKSLASH) isEscaped = true
          else if (byte === QUOTE) isInText = false
        } else if (byte === QUOTE) isInText = true
        else if (byte === OBJECT_OPEN || byte === ARRAY_OPEN) depth++
        else if (depth === 0 && (byte === COMMA || byte === ARRAY_CLOSE)) return begin + scan.at
        else if (byte === OBJECT_CLOSE || byte === ARRAY_CLOSE) depth--
      }
      return -1
    },
  }
  return scan
}

/** A text among the items is a line of text. */
function itemText(buffer: Buffer, begin: number, end: number): string {
  const text = buffer.toString('utf8', begin, end).trim()
  if (!text.startsWith('"')) return text
  try {
    return String(JSON.parse(text))
  } catch {
    return text
  }
}
