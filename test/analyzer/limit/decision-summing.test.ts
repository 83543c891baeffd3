import fc from 'fast-check'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { startDecisionSumming } from '../../../analyzer/limit/decision-summing.ts'
import { type CallLog, LogError } from '../../../collector/log/call-log.ts'
import { parseDecisionSums } from '../../../collector/log/decision-sums.ts'
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
    deniedCost: number
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
    { consumer: 'a', minuteMs: 2 * MINUTE_MS, allowed: 1, denied: 0, spent: 1, deniedCost: 0 },
    { consumer: 'b', minuteMs: MINUTE_MS, allowed: 1, denied: 0 },
  ])
  await summing.close()
})

test('what a call has spent since its check is no further call, also in a minute of its own', async () => {
  const { values, log } = openFakeLog()
  const summing = startDecisionSumming({ log, logger: pino({ level: 'silent' }) })
  const count = (nowMs: number, isJoined: boolean) =>
    summing.count(quota, 'a', dims('a'), { cost: 2, hasDenied: false, nowMs, isJoined })
  count(MINUTE_MS, false)
  count(MINUTE_MS, true)
  count(2 * MINUTE_MS, true)
  await summing.handOn()
  expect(values).toMatchObject([
    { minuteMs: MINUTE_MS, allowed: 1, spent: 4 },
    { minuteMs: 2 * MINUTE_MS, allowed: 0, spent: 2 },
  ])
  await summing.close()
})

test('a sum of amounts beyond what is exact is one that the log knows', async () => {
  const { values, log } = openFakeLog()
  const summing = startDecisionSumming({ log, logger: pino({ level: 'silent' }) })
  for (const hasDenied of [false, true]) {
    for (let index = 0; index < 10; index += 1) {
      summing.count(quota, 'a', dims('a'), { cost: 1e15, hasDenied, nowMs: MINUTE_MS })
    }
  }
  await summing.handOn()
  const most = Number.MAX_SAFE_INTEGER
  expect(values.map(value => parseDecisionSums(JSON.stringify(value)))).toMatchObject([
    { allowed: 10, spent: most, denied: 10, deniedCost: most },
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

test('more subjects than are kept at once are handed on early, each once', async () => {
  const { values, log } = openFakeLog()
  const summing = startDecisionSumming({ log, logger: pino({ level: 'silent' }) })
  const consumers = 120_000
  for (let index = 0; index < consumers; index += 1) {
    summing.count(quota, `c${index}`, dims(`c${index}`), { cost: 2, hasDenied: false, nowMs: MINUTE_MS })
  }
  await expect.poll(() => values.length).toBeGreaterThan(0)
  await summing.close()
  expect(new Set(values.map(value => value.consumer)).size).toBe(consumers)
  expect(values.reduce((sum, { spent }) => sum + spent, 0)).toBe(2 * consumers)
})

const counted = fc.record({ consumer: fc.constantFrom('a', 'b', 'c'), cost: fc.nat(9), hasDenied: fc.boolean() })
const event = fc.constantFrom('hand on', 'hand on and do not wait', 'away', 'back', 'next minute')
const step = fc.oneof({ weight: 3, arbitrary: counted }, { weight: 1, arbitrary: event })
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

async function followSums(asked: readonly Step[]) {
  const { values, state, log } = openFakeLog()
  const summing = startDecisionSumming({ log, logger: pino({ level: 'silent' }) })
  const expected: Totals = new Map()
  const underway: Promise<unknown>[] = []
  let nowMs = MINUTE_MS
  for (const step of asked) {
    if (typeof step !== 'string') {
      const { consumer, cost, hasDenied } = step
      summing.count(quota, consumer, dims(consumer), { cost, hasDenied, nowMs })
      addTo(expected, `${consumer} ${nowMs}`, hasDenied ? [0, 0, 1, cost] : [1, cost, 0, 0])
    } else if (step === 'next minute') nowMs += MINUTE_MS
    else if (step === 'away' || step === 'back') state.isAway = step === 'away'
    else {
      underway.push(summing.handOn().catch(() => undefined))
      if (step === 'hand on') await underway.at(-1)
    }
  }
  await Promise.all(underway)
  state.isAway = false
  await summing.close()
  return { values, expected }
}

type Totals = Map<string, number[]>

function addTo(totals: Totals, key: string, amounts: readonly number[]): void {
  const known = totals.get(key) ?? [0, 0, 0, 0]
  const sums = known.map((value, index) => value + (amounts[index] ?? 0))
  totals.set(key, sums)
}

test('whatever the log does, each decision is in one sum of its minute', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async asked => {
      const { values, expected } = await followSums(asked)
      const found: Totals = new Map()
      for (const { consumer, minuteMs, allowed, spent, denied, deniedCost } of values) {
        expect(allowed + denied).toBeGreaterThan(0)
        addTo(found, `${consumer} ${minuteMs}`, [allowed, spent, denied, deniedCost])
      }
      expect(found).toEqual(expected)
      expect(new Set(values.map(({ sumId }) => sumId)).size).toBe(values.length)
    }),
  )
})
