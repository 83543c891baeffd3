import { expect, test } from 'vitest'
import { createItemSplitter, isArrayOfItems } from '../../../collector/receive/item-splitter.ts'
import { LINE_BYTES_MAX, type Line } from '../../../collector/receive/lines.ts'

const itemsOf = (bytes: Buffer, chunkBytes: number, begin = { offset: 0, number: 1 }): Line[] => {
  const splitter = createItemSplitter(begin)
  const lines: Line[] = []
  for (let at = begin.offset; at < bytes.length; at += chunkBytes) {
    lines.push(...splitter.push(bytes.subarray(at, at + chunkBytes)).lines)
  }
  return [...lines, ...splitter.end().lines]
}

const items = ['{"a": "], \\" é", "b": [1, {"c": 2}]}', '{\n    "d": 3\n  }', '7', '{}']
const bytes = Buffer.from(`\uFEFF[\n  ${items.join(' ,\n  ')}\n]\n`)

test.each([1, 2, 7, 1_000])('the items of an array, wherever it is cut: %d bytes at once', chunkBytes => {
  const found = itemsOf(bytes, chunkBytes)
  expect(found.map(({ text }) => text)).toEqual(items)
  expect(found.map(({ number }) => number)).toEqual([2, 3, 6, 7])
  for (const { offset, text } of found) {
    expect(bytes.toString('utf8', offset, offset + Buffer.byteLength(text))).toBe(text)
  }
})

test('reading goes on behind an item', () => {
  const whole = itemsOf(bytes, 1_000)
  const splitter = createItemSplitter({ offset: 0, number: 1 })
  const { nextOffset, nextNumber } = splitter.push(bytes.subarray(0, (whole[2]?.offset ?? 0) + 1))
  expect(itemsOf(bytes, 1_000, { offset: nextOffset, number: nextNumber })).toEqual(whole.slice(2))
})

test('a text among the items is a line, half an item is one that is not readable, and one too long spoils no other', () => {
  expect(itemsOf(Buffer.from('["GET /a \\"b\\"", {"a": 1'), 5).map(({ text }) => text)).toEqual([
    'GET /a "b"',
    '{"a": 1',
  ])
  const long = `{"a":"${'x'.repeat(3 * LINE_BYTES_MAX)}"}`
  const found = itemsOf(Buffer.from(`[${long},{"b":1}]`), 300_000)
  expect(found.map(({ problem }) => problem)).toEqual(['too_long', null])
  expect(found[1]?.text).toBe('{"b":1}')
})

test.each([
  ['[{"a":1}]', true],
  ['\uFEFF\n [ "line" ]', true],
  ['[2026-11-23T12:00:00Z] "GET / HTTP/1.1"', false],
  ['{"a":1}', false],
])('%j is an array of items: %s', (text, expected) => {
  expect(isArrayOfItems(Buffer.from(text))).toBe(expected)
})
