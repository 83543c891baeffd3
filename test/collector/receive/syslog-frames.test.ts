import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createFrameSplitter, type Frame, MESSAGE_BYTES_MAX } from '../../../collector/receive/syslog-frames.ts'

function framesOf(bytes: Buffer, cuts: readonly number[] = []): Frame[] {
  const splitter = createFrameSplitter()
  const places = [0, ...cuts.map(cut => cut % (bytes.length + 1)).sort((one, other) => one - other), bytes.length]
  const pushed = places.slice(1).flatMap((end, index) => splitter.push(bytes.subarray(places[index], end)))
  return [...pushed, ...splitter.end()]
}
const textsOf = (bytes: Buffer, cuts?: readonly number[]) => framesOf(bytes, cuts).map(({ text }) => text)
const counted = (message: string) => `${Buffer.byteLength(message)} ${message}`

describe('messages', () => {
  test('are framed by their length, by line breaks, or by both in turn', () => {
    const stream = `${counted('<1>a\nb')}<1>c\n${counted('<1>d')}\n<1>e\r\n203.0.113.9 - -\n12345678901 <1>f\n\n<1>ü`
    expect(textsOf(Buffer.from(stream))).toEqual([
      ...['<1>a\nb', '<1>c', '<1>d', '<1>e', '203.0.113.9 - -', '12345678901 <1>f', '<1>ü'],
    ])
  })

  test('are the same however the connection cuts them', () => {
    const message = fc
      .string({ unit: 'grapheme', maxLength: 40 })
      .map(text => `<1>${text.replaceAll(/[\r\n\0]/g, '.')}`)
    const frame = fc.tuple(message, fc.boolean())
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), fc.array(fc.nat(), { maxLength: 30 }), (frames, cuts) => {
        const stream = frames.map(([text, isCounted]) => (isCounted ? counted(text) : `${text}\n`)).join('')
        expect(textsOf(Buffer.from(stream), cuts)).toEqual(frames.map(([text]) => text))
      }),
    )
  })

  test('are not cut where they end with the connection', () => {
    expect(textsOf(Buffer.from('20 <1>short'))).toEqual(['<1>short'])
    expect(textsOf(Buffer.from('20'))).toEqual(['20'])
  })
})

describe('a length that is wrong costs its own message and what is next to it alone', () => {
  const wrong = (message: string, by: number) => `${Buffer.byteLength(message) + by} ${message}`
  test.each([
    ['too short', -2, ['<190>{"a":', '1}']],
    ['too long', 2, ['<190>{"a":1}13', ' <190>{"b":2}x']],
    ['too long by part of the next length', 1, ['<190>{"a":1}1', '<19', '0>{"b":2}x']],
  ])('%s', (_what, by, broken) => {
    const stream = `${counted('<190>{}')}${wrong('<190>{"a":1}', by)}${counted('<190>{"b":2}x')}${counted('<190>{"c":3}')}`
    const texts = textsOf(Buffer.from(stream))
    const bytes = Buffer.from(stream)
    expect(textsOf(bytes, numbersEvery(1, bytes.length))).toEqual(texts)
    expect(texts.slice(0, 1 + broken.length)).toEqual(['<190>{}', ...broken])
    expect(texts.at(-1)).toBe('<190>{"c":3}')
  })

  test('though what is wrong is longer than any message', () => {
    const long = `<190>${'x'.repeat(2 * MESSAGE_BYTES_MAX)}`
    const bytes = Buffer.from(`9 ${long}${counted('<190>{"b":2}').repeat(3)}`)
    for (const cuts of [[], numbersEvery(1000, bytes.length)]) {
      const frames = framesOf(bytes, cuts)
      expect(frames.slice(-2)).toEqual(Array(2).fill({ text: '<190>{"b":2}', problem: null }))
      expect(frames.filter(({ problem }) => problem === 'too_long')).toHaveLength(1)
    }
  })

  test('and lines of senders who count none are whole, whatever they say', () => {
    expect(textsOf(Buffer.from('<1>a 12 <3> b'), [5, 12])).toEqual(['<1>a 12 <3> b'])
  })
})

describe('a message that is too long', () => {
  const long = `<1>${'x'.repeat(3 * MESSAGE_BYTES_MAX)}`
  test.each([
    ['framed by its length', counted(long)],
    ['framed by a line break', `${long}\n`],
  ])('costs itself alone, %s', (_framing, framed) => {
    const bytes = Buffer.from(`<1>a\n${framed}<1>b\n${counted('<1>c')}`)
    for (const cuts of [[], numbersEvery(1000, bytes.length), numbersEvery(65_536, bytes.length)]) {
      const frames = framesOf(bytes, cuts)
      expect(frames.map(({ problem }) => problem)).toEqual([null, 'too_long', null, null])
      expect(frames.map(({ text }) => text.slice(0, 4))).toEqual(['<1>a', '<1>x', '<1>b', '<1>c'])
      expect(frames[1]?.text.length).toBeLessThanOrEqual(65_536)
    }
  })
})

const numbersEvery = (step: number, end: number) => Array.from({ length: Math.floor(end / step) }, (_, n) => n * step)
