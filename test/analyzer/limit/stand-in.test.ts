import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Claim, type LimitStore, LimitStoreError } from '../../../analyzer/limit/limit-store.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { openRedisLimits } from '../../../analyzer/limit/redis.ts'
import { createStandIn } from '../../../analyzer/limit/stand-in.ts'
import { claim, request } from '../../contract/limit-store.ts'
import { whatIsMissing } from '../../servers/missing.ts'
import { type RedisServer, redisChecks, startRedis } from '../../servers/redis.ts'

const missing = whatIsMissing(redisChecks)
if (missing !== null) process.stderr.write(`Left out: limiters without their Redis. ${missing}\n`)

const DEADLINE_MS = 20
const PATIENT_MS = 10_000
const HOUR_MS = 3_600_000
const LIMIT = 100
const deps = { dir: '', log: pino({ level: 'silent' }), deadlineMs: DEADLINE_MS }

describe.skipIf(missing !== null)('limiters whose Redis is away', () => {
  let server: RedisServer
  let stores: LimitStore[] = []
  let prefixes = 0

  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server?.stop())
  afterEach(async () => {
    for (const store of stores) await store.close()
    stores = []
  })

  const optionsOf = (prefix: number) => {
    const room = { bucketsMax: 10_000, requestsMax: 1_000 }
    return { kind: 'redis', url: server.url, db: 0, keyPrefix: `away-${prefix}:`, ...room } as const
  }
  const open = async (count: number): Promise<LimitStore[]> => {
    prefixes += 1
    for (let index = 0; index < count; index += 1) stores.push(await openLimitStore(optionsOf(prefixes), deps))
    return stores
  }
  const startMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
  const window = { startMs, endMs: startMs + 2 * HOUR_MS }
  const ask = (store: LimitStore | undefined, fields: Partial<Claim> = {}) => {
    if (store === undefined) throw new Error('expected a store')
    return store.decide(request([claim({ ...window, limit: LIMIT, ...fields })]))
  }
  /** Spends in Redis, however late it answers: these are what limiters know before it goes, `total` in all. */
  const spend = async (store: LimitStore | undefined, cost: number, total = cost) => {
    const decided = await ask(store, { cost })
    // Too late on a busy machine: it is added a moment later.
    if (decided.isApproximate) await used(store, total)
  }
  const used = (store: LimitStore | undefined, expected: number, fields: Partial<Claim> = {}) =>
    expect
      .poll(async () => {
        const look = request([claim({ ...window, limit: LIMIT, cost: 0, ...fields })], { isDryRun: true })
        const decided = await store?.decide(look)
        return decided?.isApproximate ? 'away' : decided?.standings[0]?.used
      })
      .toBe(expected)
  const away = async (then: () => Promise<void>) => {
    server.signal('SIGSTOP')
    try {
      await then()
    } finally {
      server.signal('SIGCONT')
    }
  }
  /** As many asks one after the other as it takes to be refused; answers the units that were let pass. */
  const drain = async (store: LimitStore | undefined, cost: number, fields: Partial<Claim> = {}) => {
    let passed = 0
    for (let turn = 0; turn <= LIMIT; turn += 1) {
      const decided = await ask(store, { cost, ...fields })
      expect(decided).toMatchObject({ isApproximate: true, reference: null })
      if (!decided.isAllowed) return passed
      passed += cost
    }
    throw new Error('a limiter alone lets everything pass')
  }

  test('each lets pass what was left when it last knew, says how far that may go, and adds it once', async () => {
    const [one, other] = await open(2)
    await spend(one, 60)
    await spend(other, 10, 70)
    await away(async () => {
      const first = await ask(one, { cost: 7 })
      expect(first).toMatchObject({ isAllowed: true, standings: [{ used: 67, overshootMax: 40 }] })
      expect(7 + (await drain(one, 3))).toBe(40)
      expect(await drain(other, 5)).toBe(30)
      // What nobody asked for yet has all of its limit.
      expect(await drain(one, 10, { subject: 'unknown' })).toBe(LIMIT)
    })
    await used(one, 140)
    await used(other, 140)
    await used(one, LIMIT, { subject: 'unknown' })
    expect((await ask(one)).isAllowed).toBe(false)
  })

  test('decides within the deadline while its own loop is busy, and at once when Redis was late before', async () => {
    const [store] = await open(1)
    await spend(store, 1)
    await away(async () => {
      let isAsking = true
      const busy = (async () => {
        for (; isAsking; await nextTurn()) {
          const untilMs = performance.now() + 3
          while (performance.now() < untilMs);
        }
      })()
      const answers = await Promise.all(Array.from({ length: 200 }, () => ask(store)))
      isAsking = false
      await busy
      expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(LIMIT - 1)
      expect(answers.every(({ isApproximate }) => isApproximate)).toBe(true)
    })
    await used(store, LIMIT)
  })

  test('always late, though it adds what is let pass: no more passes than was left', async () => {
    prefixes += 1
    const shared = await openRedisLimits(optionsOf(prefixes), { ...deps, deadlineMs: PATIENT_MS })
    let isLate = false
    const late = () => Promise.reject(new LimitStoreError('LIMITS_UNAVAILABLE', 'late'))
    const store = createStandIn({ ...shared, decide: asked => (isLate ? late() : shared.decide(asked)) }, deps)
    stores.push(store)
    await spend(store, 60)
    isLate = true
    let passed = 0
    const pass = async (subject: string) => {
      if ((await ask(store, { cost: 10, subject })).isAllowed) passed += 10
    }
    for (let turn = 0; turn < 40; turn += 1, await sleep(20)) await pass('a')
    expect(passed).toBe(40)
    // In time for others now and then.
    for (let turn = 0; turn < 4; turn += 1) {
      isLate = false
      await used(store, 0, { subject: 'c' })
      await sleep(300)
      isLate = true
      for (const subject of ['a', 'd']) for (let time = 0; time < 11; time += 1) await pass(subject)
    }
    expect(passed).toBe(40 + 100)
    isLate = false
    await used(store, 100)
    // What the others have spent meanwhile is known again.
    const other = createStandIn(await openRedisLimits(optionsOf(prefixes), { ...deps, deadlineMs: PATIENT_MS }), deps)
    stores.push(other)
    await ask(other, { cost: 90, subject: 'b' })
    await used(store, 90, { subject: 'b' })
    await sleep(300)
    isLate = true
    passed = 0
    for (let turn = 0; turn < 5; turn += 1) await pass('b')
    expect(passed).toBe(10)
  })

  test('killed and started again: what was let pass meanwhile is added, once for each limiter', async () => {
    const [one, other] = await open(2)
    await spend(one, 20)
    await server.kill()
    expect(await drain(one, 8)).toBe(80)
    expect(await drain(other, 9, { subject: 'b' })).toBe(99)
    await server.start()
    await used(one, 100)
    await used(other, 100)
    await used(one, 99, { subject: 'b' })
  })

  test('full: what is left passes and no more, and is added when there is room again', async () => {
    const [store] = await open(1)
    await spend(store, 60)
    const admin = new Redis(server.url)
    try {
      await admin.config('SET', 'maxmemory', '1')
      expect(await drain(store, 4)).toBe(40)
    } finally {
      await admin.config('SET', 'maxmemory', '0')
      admin.disconnect()
    }
    await used(store, 100)
  })

  test('again and again: nothing is added twice, and nothing is forgotten', async () => {
    const [store] = await open(1)
    let expected = 0
    for (let turn = 0; turn < 5; turn += 1) {
      await away(async () => {
        for (let asked = 0; asked < 3; asked += 1) expect((await ask(store, { cost: 2 })).isAllowed).toBe(true)
      })
      expected += 6
      await used(store, expected)
    }
  })

  test('counters that were lost meanwhile and raised by another limiter: what was let pass alone is counted once', async () => {
    const [other] = await open(1)
    // It is away when this test says so, and not while the machine is busy.
    const shared = await openRedisLimits(optionsOf(prefixes), { ...deps, deadlineMs: PATIENT_MS })
    let isAway = false
    const gone = () => Promise.reject(new LimitStoreError('LIMITS_UNAVAILABLE', 'out of reach'))
    const store = createStandIn(
      {
        ...shared,
        decide: asked => (isAway ? gone() : shared.decide(asked)),
        add: (...passed) => (isAway ? gone() : shared.add(...passed)),
        unavailable: () => (isAway ? 'out of reach' : shared.unavailable()),
      },
      deps,
    )
    stores.push(store)
    await spend(store, 60)
    isAway = true
    expect(await drain(store, 8)).toBe(40)
    expect(await drain(store, 10, { subject: 'not raised' })).toBe(LIMIT)
    const admin = new Redis(server.url)
    await admin.flushall()
    admin.disconnect()
    await used(other, 0)
    const floor = { series: claim().series, subject: claim().subject, ...window, sinceMs: 0, amount: 100, drain: null }
    await other?.raise([floor])
    isAway = false
    await used(other, LIMIT, { subject: 'not raised' })
    await used(other, 100)
  })

  test('a quota that denies without its store denies, all or none, and spends nothing', async () => {
    const [store] = await open(1)
    const strict = claim({ ...window, series: 'strict', isDeniedWhenAway: true })
    const lenient = claim({ ...window, series: 'lenient' })
    const both = request([strict, lenient])
    if (store === undefined) throw new Error('expected a store')
    // It is denied, too, where Redis answers late.
    await expect.poll(async () => (await store.decide(both)).isAllowed).toBe(true)
    await used(store, 1, { series: 'lenient' })
    await away(async () => {
      const decided = await store.decide(both)
      expect(decided).toMatchObject({ isAllowed: false, standings: [{ fits: false }, { fits: true }] })
      const shadow = await store.decide(request([{ ...strict, isEnforced: false }, lenient]))
      expect(shadow.isAllowed).toBe(true)
    })
    await used(store, 2, { series: 'lenient' })
  })

  test('what is recorded while it is away is spent', async () => {
    const [store] = await open(1)
    await away(async () => {
      const recorded = request([claim({ ...window, cost: 150, limit: LIMIT })], { verb: 'record' })
      expect(await store?.decide(recorded)).toMatchObject({ isAllowed: true, isApproximate: true })
    })
    await used(store, 150)
  })
})
