import { describe, expect, test } from 'vitest'
import {
  formatAmount,
  formatDuration,
  formatGrowth,
  formatInstant,
  formatLatency,
  formatName,
  formatNumber,
  formatShare,
  formatSubject,
  formatTick,
  formatUnit,
  formatUnits,
  formatWhen,
  restWords,
  sentenceOf,
} from '../../../dashboards/console/format.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

describe('amounts', () => {
  test('are written in full as long as their last digit can be read', () => {
    expect(formatAmount(0, 'requests')).toBe('0')
    expect(formatAmount(78_370, 'total_tokens')).toBe('78,370')
    expect(formatAmount(9_999_999, 'total_tokens')).toBe('9,999,999')
    expect(formatAmount(12_345_678, 'total_tokens')).toBe('12.35M')
    expect(formatAmount(-20_500, 'requests')).toBe('−20,500')
    expect(formatAmount(null, 'requests')).toBe('–')
  })

  test('of money are millionths, of bytes thousands', () => {
    expect(formatAmount(12_400_000, 'cost')).toBe('12.40')
    expect(formatAmount(4_230, 'cost')).toBe('0.0042')
    expect(formatAmount(420_000, 'cost')).toBe('0.42')
    expect(formatAmount(0, 'cost')).toBe('0.00')
    expect(formatAmount(0, 'bytes')).toBe('0 B')
    expect(formatAmount(1_500_000, 'bytes')).toBe('1.5 MB')
    expect(formatAmount(999, 'bytes')).toBe('999 B')
  })

  test('that are forecast as a part of a unit are none', () => {
    expect(formatAmount(6.2e-25, 'bytes')).toBe('0 B')
    expect(formatAmount(6.2e-25, 'cost')).toBe('0.00')
    expect(formatAmount(-0.3, 'requests')).toBe('0')
    expect(formatAmount(-0.6, 'requests')).toBe('−1')
  })
})

describe('probabilities', () => {
  test('are certain only where they are', () => {
    expect([0, 0.001, 0.005, 0.5, 0.959, 0.995, 1, null].map(formatShare)).toEqual([
      '0%',
      '<1%',
      '1%',
      '50%',
      '96%',
      '>99%',
      '100%',
      '–',
    ])
  })

  test('and shares are written alike: more than all of a limit may be used', () => {
    expect([0, 1.234, null, Number.NaN].map(formatShare)).toEqual(['0%', '123%', '–', '–'])
  })
})

test('durations have their two largest units, and are never 60 of one', () => {
  expect([0, 59_400, 59_600, 60 * SECOND_MS, 90 * SECOND_MS].map(formatDuration)).toEqual([
    '0 s',
    '59 s',
    '1 min',
    '1 min',
    '2 min',
  ])
  expect(formatDuration(59.7 * MINUTE_MS)).toBe('1 h')
  expect(formatDuration(3 * HOUR_MS + 20 * MINUTE_MS)).toBe('3 h 20 min')
  expect(formatDuration(DAY_MS - 1)).toBe('1 d')
  expect(formatDuration(2 * DAY_MS + 4 * HOUR_MS)).toBe('2 d 4 h')
})

test('instants are told from now', () => {
  const nowMs = new Date(2026, 10, 21, 12, 0).getTime()
  expect(formatWhen(nowMs + 12 * MINUTE_MS, nowMs)).toBe('in 12 min')
  expect(formatWhen(nowMs - 5 * SECOND_MS, nowMs)).toBe('5 s ago')
  expect(formatWhen(nowMs + 300, nowMs)).toBe('now')
  expect(formatInstant(nowMs + HOUR_MS, nowMs)).toBe('13:00')
  expect(formatInstant(nowMs + DAY_MS, nowMs)).toBe('Nov 22, 12:00')
  expect(formatInstant(nowMs + 400 * DAY_MS, nowMs)).toBe('Dec 26, 2027, 12:00')
  expect(formatTick(nowMs, HOUR_MS)).toBe('12:00')
  expect(formatTick(nowMs, 7 * DAY_MS)).toBe('Nov 21')
})

test('growth is what is added', () => {
  expect([1.124, 0.9, 1, 0 / 0].map(formatGrowth)).toEqual(['+12%', '−10%', '±0%', '–'])
})

test('names are words', () => {
  expect(formatUnit('total_tokens')).toBe('total tokens')
  expect(formatUnit('requests', 1)).toBe('request')
  expect(formatSubject({ tenant: 'acme', consumer: '' })).toBe('acme / unknown consumer')
  expect(formatSubject({})).toBe('all calls')
})

test('amounts have their unit once', () => {
  expect(formatUnits(1, 'requests')).toBe('1 request')
  expect(formatUnits(5_000_000_000, 'bytes')).toBe('5 GB')
})

describe('names that others chose', () => {
  test('show what is not seen, and what turns others round', () => {
    expect(formatName('\u202egnp.evil')).toBe('⟨U+202E⟩gnp.evil')
    expect(formatName('a\nb\u0000')).toBe('a⟨U+000A⟩b⟨U+0000⟩')
    expect(formatSubject({ tenant: '  ', consumer: '\u200b' })).toBe('“  ” / ⟨U+200B⟩')
  })

  test('are left alone otherwise; right-to-left ones stay where they are', () => {
    expect(formatName('<b>👩‍👩‍👧‍👦 日本</b>')).toBe('<b>👩‍👩‍👧‍👦 日本</b>')
    expect(formatSubject({ tenant: 'עברית', consumer: 'app' })).toBe('\u2068עברית\u2069 / app')
  })
})

test('problems are told in sentences', () => {
  expect(['the store is away', 'Is it running?'].map(sentenceOf)).toEqual(['The store is away.', 'Is it running?'])
})

test('numbers have the digits that say something', () => {
  expect([0.117234, 1.6995, null].map(formatNumber)).toEqual(['0.117', '1.7', '–'])
  expect([640.4, 999.6, 1_850, null].map(formatLatency)).toEqual(['640 ms', '1 s', '1.85 s', '–'])
})

test('a list that ends early says of how many it shows the first', () => {
  expect(restWords(50, 50, false)).toBeNull()
  expect(restWords(50, 1_051, false)).toBe('The first 50 of 1,051.')
  expect(restWords(50, 999, true)).toBe('The first 50 of more than 999.')
})
