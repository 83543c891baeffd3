import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { reservationsExpired } from '../../analyzer/events.ts'
import { callsReceived, deliveryRefused, linesDropped, readerLost } from '../../collector/events.ts'

const MINUTE_MS = 60_000

let lines: Record<string, unknown>[]
const openLog = () => pino({ base: null, timestamp: false }, { write: line => lines.push(JSON.parse(line)) })
beforeEach(() => {
  vi.useFakeTimers()
  lines = []
})
afterEach(() => {
  vi.useRealTimers()
})

test('a sender whose calls are wrong is told of at once, and then once a minute with what it did meanwhile', () => {
  const log = openLog()
  const reject = (dialect: string, rejected: [string, number][]) =>
    callsReceived(log, { receiver: 'http', dialect, accepted: 1, rejected: new Map(rejected) as never })
  for (let call = 0; call < 100; call++) reject('kong', [['missing_field', 2]])
  reject('nginx', [['invalid_field', 1]])
  const msg = 'calls rejected'
  const first = { level: 40, receiver: 'http', dialect: 'kong', accepted: 1, rejected: { missing_field: 2 }, msg }
  expect(lines).toEqual([first, { ...first, dialect: 'nginx', rejected: { invalid_field: 1 } }])
  vi.advanceTimersByTime(MINUTE_MS)
  expect(lines.slice(2)).toEqual([{ ...first, accepted: 99, rejected: { missing_field: 198 } }])
  vi.advanceTimersByTime(MINUTE_MS)
  reject('kong', [['missing_field', 2]])
  expect(lines.slice(3)).toEqual([first])
})

test('what is wrong in another way is told of at once', () => {
  const log = openLog()
  for (const reason of ['missing_field', 'invalid_field', 'missing_field'] as const)
    callsReceived(log, { receiver: 'http', dialect: 'kong', accepted: 0, rejected: new Map([[reason, 1]]) })
  expect(lines.map(({ rejected }) => rejected)).toEqual([{ missing_field: 1 }, { invalid_field: 1 }])
})

test('each process of whose log it is hears of it', () => {
  for (const log of [openLog(), openLog()]) reservationsExpired(log, 1)
  expect(lines).toHaveLength(2)
})

test('deliveries that are refused, lines that are lost and reservations that expire are added up as well', () => {
  const log = openLog()
  for (let second = 0; second < 30; second++) {
    deliveryRefused(log, { receiver: 'http', reason: 'the log is full' })
    linesDropped(log, { source: 'edge', lines: 10 })
    reservationsExpired(log, 3)
    vi.advanceTimersByTime(1_000)
  }
  vi.advanceTimersByTime(MINUTE_MS)
  const messages = ['calls were not taken, their sender must come again', 'reservations expired'] as const
  const lost = 'lines are lost: they came over UDP faster than they could be kept'
  expect(lines).toEqual([
    { level: 40, receiver: 'http', reason: 'the log is full', deliveries: 1, msg: messages[0] },
    { level: 50, source: 'edge', lines: 10, msg: lost },
    { level: 40, expired: 3, msg: messages[1] },
    { level: 40, receiver: 'http', reason: 'the log is full', deliveries: 29, msg: messages[0] },
    { level: 50, source: 'edge', lines: 290, msg: lost },
    { level: 40, expired: 87, msg: messages[1] },
  ])
})

test('a reader that cannot join its group says so when the reason changes, and once a minute', () => {
  const log = openLog()
  for (let attempt = 0; attempt < 40; attempt++) {
    readerLost(log, new Error(attempt < 30 ? 'nobody listens' : 'no leader'))
    vi.advanceTimersByTime(3_000)
  }
  expect(lines.map(({ err, failures }) => [(err as Error).message, failures])).toEqual([
    ['nobody listens', 1],
    ['nobody listens', 19],
    ['no leader', 1],
    ['nobody listens', 10],
  ])
})
