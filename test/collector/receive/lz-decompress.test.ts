import { describe, expect, test } from 'vitest'
import { decompressLz4, decompressSnappy } from '../../../collector/receive/lz-decompress.ts'

const BYTES_MAX = 1000
const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
/** A length as snappy writes it, for outputs below 128 bytes. */
const raw = (length: number, ...elements: string[]) => Buffer.concat([Buffer.from([length]), hex(elements.join(''))])
const literal = (text: string) =>
  Buffer.concat([Buffer.from([(text.length - 1) << 2]), Buffer.from(text)]).toString('hex')

describe('snappy', () => {
  test.each([
    ['a literal', raw(3, literal('abc')), 'abc'],
    ['a repetition of itself', raw(9, literal('abc'), '09 03'), 'abcabcabc'.slice(0, 9)],
    ['a near one', raw(7, literal('abc'), '01 03'), 'abcabca'],
    ['a far one', raw(6, literal('abc'), '0a 0300'), 'abcabc'],
    ['a very far one', raw(6, literal('abc'), '0b 03000000'), 'abcabc'],
    ['a long literal', raw(70, 'f0 45', Buffer.from('y'.repeat(70)).toString('hex')), 'y'.repeat(70)],
    ['nothing', raw(0), ''],
  ])('%s', (_name, input, text) => {
    expect(decompressSnappy(input, BYTES_MAX).toString()).toBe(text)
  })

  test('the stream of blocks of Java', () => {
    const block = raw(3, literal('abc')).toString('hex')
    const stream = hex(`82534e41505059 00 00000001 00000001 00000005 ${block} 00000005 ${block}`)
    expect(decompressSnappy(stream, BYTES_MAX).toString()).toBe('abcabc')
  })
})

describe('LZ4', () => {
  const frame = (flags: string, ...blocks: string[]) => hex(`04224d18 ${flags} ${blocks.join('')} 00000000`)
  test.each([
    ['a plain block', frame('60 40 82', '03000080 616263'), 'abc'],
    ['literals and a repetition', frame('60 40 82', '0b000000 35 616263 0300 40 61626364'), 'abcabcabcabcabcd'],
    [
      'blocks that repeat what was in those before',
      frame('40 40 c0', '03000080 616263', '04000000 00 0300 00'),
      'abcabca',
    ],
    [
      'a length and checksums, which are stepped over',
      frame('78 40 0300000000000000 00', '03000080 616263 11223344'),
      'abc',
    ],
  ])('%s', (_name, input, text) => {
    expect(decompressLz4(input, BYTES_MAX).toString()).toBe(text)
  })
})

describe('what cannot be right is refused', () => {
  const far = raw(6, literal('abc'), '0a 0400')
  const bomb = raw(64, literal('a'), 'fe0100'.repeat(20))
  test.each([
    ['an end too early', () => decompressSnappy(raw(9, '20 61'), BYTES_MAX), /too early/],
    ['a repetition of nothing', () => decompressSnappy(far, BYTES_MAX), /not there/],
    ['a bomb', () => decompressSnappy(bomb, BYTES_MAX), /larger than 1000 bytes/],
    ['no frame', () => decompressLz4(Buffer.from('plain text'), BYTES_MAX), /no LZ4 frame/],
    ['a frame cut off', () => decompressLz4(hex('04224d18 60 40 82 03000080 61'), BYTES_MAX), /too early/],
  ])('%s', (_name, decompress, message) => {
    expect(decompress).toThrow(message)
  })
})
