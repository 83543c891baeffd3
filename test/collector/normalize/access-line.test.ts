import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clfInstant, parseAccessLine, unescaped } from '../../../collector/normalize/access-line.ts'

const HEAD = '203.0.113.9 - - [21/Jul/2026:08:00:00 +0000] "GET / HTTP/1.1"'
const wordsOf = (rest: string) => parseAccessLine(`${HEAD} ${rest}`)?.words
const byteEscaped = (text: string) =>
  Array.from(Buffer.from(text), byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')

describe('the words of an access line', () => {
  test('are lists of nginx too, and addresses of IPv6', () => {
    expect(wordsOf('0.1, 0.2 : 0.3 [a] [] [::1]:80, [::2]:80 - x')).toEqual([
      ...['0.1, 0.2 : 0.3', 'a', '', '[::1]:80, [::2]:80', '-', 'x'],
    ])
  })

  test('end where a quote closes that nothing escapes', () => {
    expect(wordsOf(String.raw`"a \"b\" c\\" "d`)).toEqual(['a "b" c\\', 'd'])
  })

  test('are found in a line of nothing but brackets or addresses', () => {
    expect(wordsOf('[a '.repeat(300_000))).toHaveLength(300_000)
    expect(parseAccessLine(`${'::1, '.repeat(200_000)}${HEAD} 200`)?.words).toEqual(['200'])
    expect(parseAccessLine(`a, b, - [21/Jul/2026:08:00:00 +0000] "GET / HTTP/1.1"`)).toBeNull()
  })

  test('are no pairs, which have names', () => {
    const line = parseAccessLine(String.raw`${HEAD} 200 a=1 b="x \"y\" z=2" "c=3" d= e`)
    expect(line?.words).toEqual(['200', 'c=3', 'e'])
    expect(line?.pairs).toEqual({ a: '1', b: 'x "y" z=2', d: '' })
  })

  test('are read once, also where nothing but pairs begin', () => {
    expect(parseAccessLine(`${HEAD} 200 ${'a="'.repeat(2 ** 20)}`)?.words).toEqual(['200'])
  })

  test('come back whatever stands in quotes', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), texts => {
        const quoted = texts.map(text => `"${byteEscaped(text)}"`).join(' ')
        expect(wordsOf(quoted)).toEqual(texts)
      }),
    )
  })
})

test('escapes are those of C, of bytes and of units', () => {
  expect(unescaped(String.raw`\\ \" \n \t \xc3\xa9\x21 \u00e9 \q`)).toBe('\\ " \n \t é! é q')
})

test('the time is what a date says it is', () => {
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
  fc.assert(
    fc.property(
      fc.date({ min: new Date(0), max: new Date('2099-12-31'), noInvalidDate: true }),
      fc.integer({ min: -12, max: 14 }),
      (date, hours) => {
        const local = new Date(date.getTime() + hours * 3_600_000).toISOString()
        const [year = '', month = '', day = ''] = local.slice(0, 10).split('-')
        const zone = `${hours < 0 ? '-' : '+'}${String(Math.abs(hours)).padStart(2, '0')}00`
        const text = `${day}/${months[Number(month) - 1]}/${year}:${local.slice(11, 19)} ${zone}`
        if (Number(year) >= 1970) expect(clfInstant(text)).toBe(Math.floor(date.getTime() / 1000) * 1000)
      },
    ),
  )
  expect(clfInstant('32/Jul/2026:08:00:00 +0000')).toBeNull()
  expect(clfInstant('21/Jul/2026:08:00:00')).toBeNull()
  expect(clfInstant('21/anF/2026:08:00:00 +0000')).toBeNull()
})
