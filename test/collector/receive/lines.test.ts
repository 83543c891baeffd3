import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLineSplitter, LINE_BYTES_MAX, type Line } from '../../../collector/receive/lines.ts'

/** All lines of a text that arrives in chunks of a size; and that every byte was consumed once. */
function split(text: string, delimiter: string | null, chunkBytes = Number.POSITIVE_INFINITY): Line[] {
  const bytes = Buffer.from(text)
  const splitter = createLineSplitter({ delimiter })
  const lines: Line[] = []
  const consumed: Buffer[] = []
  const take = (part: ReturnType<typeof splitter.end>) => {
    for (const line of part.lines) lines.push(line)
    consumed.push(Buffer.from(part.consumed))
  }
  for (let at = 0; at < bytes.length; at += chunkBytes) take(splitter.push(bytes.subarray(at, at + chunkBytes)))
  take(splitter.end())
  expect(Buffer.concat(consumed).equals(bytes)).toBe(true)
  return lines
}
const texts = (lines: Line[]) => lines.map(({ text }) => text)

test('lines have offsets and numbers, whatever their breaks, empty ones are left out', () => {
  expect(split('a\r\nbä\n\nc', null)).toEqual([
    { offset: 0, number: 1, text: 'a', problem: null },
    { offset: 3, number: 2, text: 'bä', problem: null },
    { offset: 8, number: 4, text: 'c', problem: null },
  ])
})

test('a byte order mark is no part of the first line', () => {
  expect(split('\uFEFFa\nb', null)[0]).toMatchObject({ offset: 3, text: 'a' })
})

describe('quotes of a CSV', () => {
  test('hold line breaks and count them', () => {
    const lines = split('a,"x\ny ""z""\n",b\nc,d,e\n', ',')
    expect(texts(lines)).toEqual(['a,"x\ny ""z""\n",b', 'c,d,e'])
    expect(lines[1]?.number).toBe(4)
  })

  test('open only where a field begins', () => {
    expect(texts(split('5" pipe,a\n6" pipe,b\n', ','))).toEqual(['5" pipe,a', '6" pipe,b'])
  })

  test('that are never closed cost their own line', () => {
    const lines = split('a,"b\nc,d\ne,f\n', ',')
    expect(texts(lines)).toEqual(['a,"b', 'c,d', 'e,f'])
    expect(lines.map(({ problem }) => problem)).toEqual(['quote_not_closed', null, null])
  })

  test('that are never closed on any line are found in one pass', () => {
    const lines = split('"x"y,"z\n'.repeat(300_000), ',', 256 * 1024)
    expect(lines).toHaveLength(300_000)
    expect(lines.every(({ text }) => text === '"x"y,"z')).toBe(true)
  })

  test('that are closed after more than the longest line, too', () => {
    const filler = `${'x'.repeat(99)}\n`.repeat(Math.ceil(LINE_BYTES_MAX / 100) + 1)
    const lines = split(`a,"b\n${filler}",c\n`, ',', 100_000)
    expect(lines[0]).toMatchObject({ text: 'a,"b', problem: 'quote_not_closed' })
    expect(lines).toHaveLength(filler.length / 100 + 2)
  })
})

test.each([null, ','])('a line that is too long is reported once, with its beginning (%j)', delimiter => {
  const long = 'x'.repeat(3 * LINE_BYTES_MAX)
  const lines = split(`a\n${long}\nb\n`, delimiter, 256 * 1024)
  expect(lines.map(({ number, problem }) => [number, problem])).toEqual([
    [1, null],
    [2, 'too_long'],
    [3, null],
  ])
  expect(lines[1]?.text.length).toBe(64 * 1024)
})

test('chunks make no difference', () => {
  const piece = fc.constantFrom('a', 'ä', ',', '"', '""', '\n', '\r\n', ',"', '",', '"x"y,"z\n', 'long text')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), fc.integer({ min: 1, max: 9 }), (pieces, chunkBytes) => {
      for (const delimiter of [null, ',']) {
        expect(split(pieces.join(''), delimiter, chunkBytes)).toEqual(split(pieces.join(''), delimiter))
      }
    }),
  )
})

test('reading from the middle finds the same lines', () => {
  const text = 'first\nsecond\nthird\n'
  const [, second] = split(text, null)
  const splitter = createLineSplitter({ delimiter: null, offset: second?.offset ?? 0, number: second?.number ?? 0 })
  expect(splitter.push(Buffer.from(text).subarray(second?.offset)).lines).toEqual(split(text, null).slice(1))
})
