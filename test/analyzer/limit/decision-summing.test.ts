import { pino } from 'pino'
import { expect, test } from 'vitest'
import { startDecisionSumming } from '../../../analyzer/limit/decision-summing.ts'
import { type CallLog, LogError } from '../../../collector/log/call-log.ts'
import { callDimensions, testQuota } from '../quotas.ts'

const MINUTE_MS = 60_000
const quota = testQuota({ match: { tenant: 'acme' }, per: ['consumer'] })
const dims = (consumer: string) => callDimensions({ consumer })

/** A log that keeps what it is given, once it is there. */
function openFakeLog() {
  const values: {
    consumer: string
    minuteMs: number
    allowed: number
    denied: number
    spent: number
    sumId: string
  }[] = []
  const state = { isAway: false }
  const log = {
    append: async (_topic: string, entries: { value: string }[]) => {
      if (state.isAway) throw new LogError('LOG_UNAVAILABLE', 'away')
      for (const { value } of entries) values.push(JSON.parse(value))
    },
  } as unknown as CallLog
  return { values, state, log }
}

test('one sum a minute, quota and subject; denied calls beside those that passed', async () => {
  const { values, log } = openFakeLog()
  const summing = startDecisionSumming({ log, logger: pino({ level: 'silent' }) })
  const count = (consumer: string, nowMs: number, cost: number, hasDenied = false) =>
    summing.count(quota, consumer, dims(consumer), { cost, hasDenied, nowMs })
  count('a', MINUTE_MS, 1)
  count('a', MINUTE_MS + 59_999, 2)
  count('a', MINUTE_MS + 59_999, 5, true)
  count('b', MINUTE_MS, 1)
  count('a', 2 * MINUTE_MS, 1)
  await summing.handOn()
  expect(values).toMatchObject([
    { consumer: 'a', tenant: 'acme', minuteMs: MINUTE_MS, allowed: 2, spent: 3, denied: 1, deniedCost: 5 },
    { consumer: 'b', minuteMs: MINUTE_MS, allowed: 1, denied: 0 },
    { consumer: 'a', minuteMs: 2 * MINUTE_MS, allowed: 1 },
  ])
  await summing.close()
})

test('what a log that is away did not take is handed on once, with the same ids, when it is back', async () => {
  const { values, state, log } = openFakeLog()
  const summing = startDecisionSumming({ log, logger: pino({ level: 'silent' }) })
  const consumers = 1_700
  state.isAway = true
  for (let index = 0; index < consumers; index += 1) {
    summing.count(quota, `c${index}`, dims(`c${index}`), { cost: 1, hasDenied: false, nowMs: MINUTE_MS })
  }
  await expect(summing.handOn()).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
  expect(values).toEqual([])
  state.isAway = false
  await summing.handOn()
  await summing.handOn()
  expect(values).toHaveLength(consumers)
  expect(new Set(values.map(value => value.sumId)).size).toBe(consumers)
  expect(values.map(value => value.consumer)).toEqual(Array.from({ length: consumers }, (_, index) => `c${index}`))
  await summing.close()
})
