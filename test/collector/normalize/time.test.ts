import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseIso, patternParser } from '../../../collector/normalize/time.ts'

describe('ISO 8601', () => {
  test.each([
    ['2023-11-16 18:17:03.9799600', '2023-11-16T18:17:03.979Z'],
    ['2023-11-16T18:17:03Z', '2023-11-16T18:17:03.000Z'],
    ['2023-11-16T18:17:03.5+02:00', '2023-11-16T16:17:03.500Z'],
    ['2023-11-16 18:17:03 -0130', '2023-11-16T19:47:03.000Z'],
    ['2023-11-16', '2023-11-16T00:00:00.000Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z'],
  ])('%s', (text, instant) => {
    expect(new Date(parseIso(text) ?? Number.NaN).toISOString()).toBe(instant)
  })

  test.each(['2023-02-29', '2023-13-01', '2023-11-16T25:00:00', 'today', '', '1700158623'])('%s is none', text => {
    expect(parseIso(text)).toBeNull()
  })

  test('reads back what it means', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date(4_102_444_800_000), noInvalidDate: true }), date => {
        expect(parseIso(date.toISOString())).toBe(date.getTime())
      }),
    )
  })
})

describe('a pattern', () => {
  test.each([
    ['%d/%b/%Y:%H:%M:%S %z', '16/Nov/2023:18:17:03 +0100', '2023-11-16T17:17:03.000Z'],
    ['%Y-%m-%dT%H:%M:%S.%f%z', '2023-11-16T18:17:03.123456Z', '2023-11-16T18:17:03.123Z'],
    ['[%m/%d/%Y %I:%M:%S %p %Z]', '[11/16/2023 12:05:00 AM UTC]', '2023-11-16T00:05:00.000Z'],
    ['%m/%d/%Y %I:%M %p %Z', '11/16/2023 12:05 PM GMT', '2023-11-16T12:05:00.000Z'],
  ])('%s reads %s', (pattern, text, instant) => {
    const parse = patternParser(pattern)
    if (typeof parse === 'string') throw new Error(parse)
    expect(new Date(parse(text) ?? Number.NaN).toISOString()).toBe(instant)
    expect(parse(`${text}x`)).toBeNull()
  })

  test.each([
    ['%d/%b/%Y:%H:%M:%S', /zone|%z/],
    ['%Y-%m-%d %H:%M %q %z', /%q/],
    ['%H:%M %z', /%Y/],
  ])('%s makes no sense', (pattern, problem) => {
    expect(patternParser(pattern)).toMatch(problem)
  })
})
