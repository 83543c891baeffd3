import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { openRedisLimits } from '../../../analyzer/limit/redis.ts'
import type { RedisLimitsOptions } from '../../../analyzer/limit/redis-options.ts'
import type { SharedLimitStore } from '../../../analyzer/limit/shared-limit-store.ts'
import { claim, describeLimitStore, effect, request, spend } from '../../contract/limit-store.ts'
import { describeLimitStoreResets } from '../../contract/limit-store-resets.ts'
import { describeLimitStoreWindows } from '../../contract/limit-store-windows.ts'
import { freePorts } from '../../free-ports.ts'
import { countRunningTime } from '../../running-time.ts'
import { whatIsMissing } from '../../servers/missing.ts'
import { type RedisServer, redisChecks, startRedis } from '../../servers/redis.ts'

const log = pino({ level: 'silent' })
const missing = whatIsMissing(redisChecks)
if (missing !== null) process.stderr.write(`Left out: the limit store in Redis. ${missing}\n`)

const options = { kind: 'redis', db: 0, bucketsMax: 1_000, requestsMax: 1_000 } as const
const HOUR_MS = 3_600_000
/** A busy machine answers late now and then. */
const DEADLINE_MS = 10_000
const startMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
/** A window in which the real clock is, for an hour at least: no test crosses its end. */
const current = { startMs, endMs: startMs + 2 * HOUR_MS }

describe.skipIf(missing !== null)('limits in redis', () => {
  let server: RedisServer
  let admin: Redis
  let stores: SharedLimitStore[] = []
  let prefixes = 0
  let keyPrefix = ''

  beforeAll(async () => {
    server = await startRedis()
    admin = new Redis(server.url)
    admin.on('error', () => undefined)
  })
  afterAll(async () => {
    admin?.disconnect()
    await server?.stop()
  })
  afterEach(async () => {
    for (const store of stores) await store.close()
    stores = []
    keyPrefix = ''
  })

  const newPrefix = () => {
    prefixes += 1
    keyPrefix = `test-${prefixes}:`
    return keyPrefix
  }
  /** Stores of one test share their counters. This one may not be usable yet. */
  const openAny = async ({
    deadlineMs = DEADLINE_MS,
    ...changed
  }: Partial<RedisLimitsOptions> & { deadlineMs?: number } = {}) => {
    if (keyPrefix === '') newPrefix()
    const store = await openRedisLimits(
      { ...options, url: server.url, keyPrefix, ...changed },
      { dir: '', log, deadlineMs },
    )
    stores.push(store)
    return store
  }
  const open = async (changed: Parameters<typeof openAny>[0] = {}) => {
    const store = await openAny(changed)
    await untilUsable(store)
    return store
  }
  const ask = (fields: Parameters<typeof claim>[0] = {}) => request([claim({ ...current, ...fields })])
  const used = async (store: LimitStore) => {
    const { standings } = await store.decide({ ...ask({ cost: 0 }), isDryRun: true })
    return standings[0]?.used
  }
  const spent = async (store: LimitStore, cost: number) => {
    const { reference } = await store.decide(ask({ cost }))
    if (reference === null) throw new Error('expected the decision to spend')
    return reference
  }
  const apply = (store: LimitStore, effects: ReturnType<typeof effect>[], nextOffset: number) =>
    store.applyRecords({
      effects: effects.map(one => ({ ...one, spends: one.spends.map(cost => ({ ...cost, ...current })) })),
      checksOnly: new Set(),
      held: new Set(),
      position: { logId: 'log', partition: 0, nextOffset, appliedOffset: nextOffset - 1 },
    })
  const untilUsable = (store: LimitStore) => expect.poll(() => store.unavailable()).toBeNull()

  const prepare = async () => {
    const keyPrefix = newPrefix()
    return {
      open: async (now: () => number) => {
        const deps = { dir: '', log, now, deadlineMs: DEADLINE_MS }
        const store = await openRedisLimits({ ...options, url: server.url, keyPrefix }, deps)
        await untilUsable(store)
        return store
      },
      remove: async () => undefined,
    }
  }
  describeLimitStore('contract', prepare)
  describeLimitStoreResets('contract, resets by hand', prepare)
  describeLimitStoreWindows('contract, without a reset', prepare)

  test('two limiters, 64 callers at once: never over the limit, and nobody is refused while there is room', async () => {
    const [one, other] = [await open(), await open()]
    const answers = await Promise.all(
      Array.from({ length: 64 }, async (_, caller) => {
        const allowed: boolean[] = []
        for (let turn = 0; turn < 10; turn += 1) {
          const store = (caller + turn) % 2 === 0 ? one : other
          allowed.push((await store.decide(ask({ limit: 400 }))).isAllowed)
        }
        return allowed
      }),
    )
    expect(answers.flat().filter(Boolean)).toHaveLength(400)
    expect([await used(one), await used(other)]).toEqual([400, 400])
    expect(one.bucketCount()).toBe(1)
  })

  test('what one limiter decided the other one settles, once', async () => {
    const [one, other] = [await open(), await open()]
    const reference = await spent(one, 50)
    expect(await other.settle(reference, [spend(20, current)])).toBe('settled')
    expect(await one.release(reference)).toBe('already_settled')
    expect(await used(one)).toBe(20)
  })

  test("a settler that lost its partition to another limiter's changes nothing", async () => {
    const [one, other] = [await open(), await open()]
    await one.position('log', 0)
    await apply(one, [effect(3)], 1)
    expect(await other.position('log', 0)).toMatchObject({ nextOffset: 1 })
    await apply(other, [effect(4)], 2)
    await expect(apply(one, [effect(4)], 2)).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE', retryable: true })
    expect(await used(one)).toBe(7)
    expect(await one.position('log', 0)).toMatchObject({ nextOffset: 2 })
    await apply(one, [effect(5)], 3)
    expect(await used(other)).toBe(12)
  })

  test('stopped: every decision is refused within its deadline, and what comes too late spends nothing', async () => {
    const [store, patient] = [await open({ deadlineMs: 20 }), await open()]
    await spent(patient, 1)
    server.signal('SIGSTOP')
    try {
      for (let turn = 0; turn < 3; turn += 1) {
        const time = countRunningTime()
        const asked = Array.from({ length: 50 }, () => store.decide(ask()))
        const answers = await Promise.allSettled(asked)
        expect(time.stop()).toBeLessThan(500)
        expect(answers.every(({ status }) => status === 'rejected')).toBe(true)
      }
      await expect(store.decide(ask())).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
      expect(store.unavailable()).not.toBeNull()
      await sleep(200)
    } finally {
      server.signal('SIGCONT')
    }
    await untilUsable(store)
    await expect.poll(() => used(store).catch(() => null)).toBe(1)
  })

  test('whoever has not seen yet that its clock was set back by hours holds nothing until then', async () => {
    const { open: openAt } = await prepare()
    const seen: number[] = []
    const store = await openAt(() => seen.shift() ?? startMs)
    stores.push(store as SharedLimitStore)
    const aheadMs = startMs + 2 * HOUR_MS
    // What the limiter sees when it asks; what Redis sees comes after it.
    seen.push(aheadMs)
    const held = request([claim({ ...current, isHeld: true })], { expiresAtMs: aheadMs + 1_000 })
    await expect(store.decide(held)).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
    expect(await store.decide({ ...held, expiresAtMs: startMs + 1_000 })).toMatchObject({ isAllowed: true })
  })

  test('what was spent for nobody is given back once Redis takes writes again', async () => {
    let hold = false
    const proxy = createServer(client => {
      const behind = connect(Number(new URL(server.url).port), '127.0.0.1')
      client.pipe(behind).on('error', () => client.destroy())
      client.on('error', () => behind.destroy()).on('close', () => behind.destroy())
      behind.on('data', async bytes => {
        while (hold) await sleep(5)
        client.write(bytes)
      })
    })
    await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
    const address = proxy.address()
    const port = typeof address === 'object' ? address?.port : 0
    try {
      const [store, patient] = [await open({ url: `redis://127.0.0.1:${port}`, deadlineMs: 300 }), await open()]
      await spent(patient, 1)
      hold = true
      await expect(store.decide(ask())).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
      expect(await used(patient)).toBe(2)
      await admin.config('SET', 'maxmemory', '1')
      hold = false
      await expect.poll(() => store.unavailable()).toMatch(/OOM/)
      await admin.config('SET', 'maxmemory', '0')
      await expect.poll(() => used(patient)).toBe(1)
      await store.close()
    } finally {
      await admin.config('SET', 'maxmemory', '0')
      proxy.close()
    }
  })

  test('an answer that came while our own loop was busy is not too late', async () => {
    const store = await open({ deadlineMs: 1_000 })
    await spent(store, 1)
    const decided = async () => {
      const asked = store.decide({ ...ask(), isDryRun: true }).catch(() => null)
      await nextTurn()
      const endMs = performance.now() + 1_500
      while (performance.now() < endMs);
      return asked
    }
    // Redis itself may stand still once.
    await expect.poll(decided).toMatchObject({ isAllowed: true, standings: [{ used: 1 }] })
  })

  test('stopped for so long that the connection is given up', async () => {
    const store = await open({ deadlineMs: 20 })
    server.signal('SIGSTOP')
    try {
      await expect.poll(() => store.unavailable()).toMatch(/Socket timeout/)
    } finally {
      server.signal('SIGCONT')
    }
    await untilUsable(store)
    const patient = await open()
    expect(await patient.decide(ask())).toMatchObject({ isAllowed: true, standings: [{ used: 1 }] })
  })

  test('killed and started again: nothing that was answered is lost, in a new epoch', async () => {
    const [store, other] = [await open(), await open()]
    const before = await spent(store, 50)
    await apply(store, [effect(6)], 1)
    await server.kill()
    await expect.poll(() => store.unavailable()).not.toBeNull()
    expect(store.isJoined()).toBe(true)
    await expect(store.decide(ask())).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
    await server.start()
    await untilUsable(store)
    await untilUsable(other)
    expect([await used(store), await store.position('log', 0)]).toMatchObject([50, { nextOffset: 1 }])
    const after = await spent(other, 1)
    expect(after.epoch).toBeGreaterThan(before.epoch)
    expect(after.sequence).toBeGreaterThan(before.sequence)
    expect((await spent(store, 1)).epoch).toBe(after.epoch)
    expect(await store.settle(before, [spend(10, current)])).toBe('settled')
    expect(await other.settle(before, [spend(10, current)])).toBe('already_settled')
  })

  test('killed between a check and what its call says at its end: the record settles both', async () => {
    const store = await open()
    const decide = (verb: 'check' | 'record', cost: number) =>
      store.decide(request([claim({ ...current, cost })], { verb, requestId: 'r1' }))
    await decide('check', 10)
    await server.kill()
    await expect.poll(() => store.unavailable()).not.toBeNull()
    await server.start()
    await untilUsable(store)
    const given = await decide('record', 30)
    await decide('record', 15)
    await spent(store, 40)
    if (given.reference === null) throw new Error('expected the record to spend')
    await store.release(given.reference)
    expect(await used(store)).toBe(65)
    await apply(store, [effect(5, { requestId: 'r1' })], 1)
    expect(await used(store)).toBe(45)
  })

  test('killed under load: what Redis holds is at least what was answered, and at most what was asked', async () => {
    const store = await open()
    let answered = 0
    let asked = 0
    let isRunning = true
    const callers = Array.from({ length: 32 }, async () => {
      while (isRunning) {
        asked += 1
        try {
          if ((await store.decide(ask({ limit: 1e9 }))).isAllowed) answered += 1
        } catch {
          await sleep(10)
        }
      }
    })
    await sleep(200)
    await server.kill()
    await server.start()
    await untilUsable(store)
    await sleep(100)
    isRunning = false
    await Promise.all(callers)
    const held = await used(store)
    expect(held).toBeGreaterThanOrEqual(answered)
    expect(held).toBeLessThanOrEqual(asked)
  })

  test('flushed in the middle: a new epoch begins at once, and earlier decisions spend their true cost', async () => {
    const [store, other] = [await open(), await open()]
    const lost = await spent(store, 50)
    await apply(store, [effect(3)], 5)
    await admin.flushall()
    const { reference } = await other.decide(ask({ cost: 4 }))
    expect(reference?.epoch).toBeGreaterThan(lost.epoch)
    // Unless its sweep has seen already that records are missing, and begun another one.
    expect((await spent(store, 1)).epoch).toBeGreaterThanOrEqual(reference?.epoch ?? Number.NaN)
    // The settler learns it, and goes on from what it has.
    expect(await store.position('log', 0)).toBeNull()
    await apply(store, [effect(7, { reference: lost })], 6)
    expect(await used(store)).toBe(12)
    await apply(store, [effect(7, { reference: lost })], 7)
    expect(await used(store)).toBe(12)
  })

  test('an older copy, put in place and started: what was charged after it spends its true cost, once', async () => {
    const store = await open()
    const kept = await spent(store, 50)
    await apply(store, [effect(0)], 1)
    const copy = await copyOf(admin, keyPrefix)
    const lost = await spent(store, 40)
    await apply(store, [effect(0)], 2)
    await copy.restore()
    await server.kill()
    await server.start()
    await untilUsable(store)
    expect(await used(store)).toBe(50)
    await store.position('log', 0)
    await apply(store, [effect(7, { reference: kept }), effect(9, { reference: lost })], 3)
    expect(await used(store)).toBe(16)
    await apply(store, [effect(9, { reference: lost })], 4)
    expect(await used(store)).toBe(16)
    expect((await spent(store, 1)).epoch).toBeGreaterThan(lost.epoch)
  })

  test('an older copy, put in place while it runs, is noticed by the position: all is compared again', async () => {
    const store = await open()
    const { epoch } = await spent(store, 5)
    await apply(store, [effect(5)], 1)
    const { id } = await store.beginComparison()
    const truth = {
      ...current,
      series: 'quota',
      isWhole: true,
      mayLower: true,
      isRecordsOnly: false,
      resets: new Map(),
    }
    await store.correct(id, [{ ...truth, costs: [{ subject: 'a', gateway: 'kong', amount: 5 }] }])
    const copy = await copyOf(admin, keyPrefix)
    await apply(store, [effect(5)], 2)
    expect((await store.beginComparison()).windows[0]?.comparedTo).not.toBeNull()
    await copy.restore()
    expect(await store.position('log', 0)).toMatchObject({ nextOffset: 1 })
    expect((await spent(store, 1)).epoch).toBeGreaterThan(epoch)
    expect((await store.beginComparison()).windows[0]?.comparedTo).toBeNull()
  })

  test('a restart after which decisions are missing is a loss, any other one is none', async () => {
    const store = await open()
    await spent(store, 1)
    const before = store.losses()
    await server.kill()
    await server.start()
    await untilUsable(store)
    expect(store.losses()).toBe(before)
    const copy = await copyOf(admin, keyPrefix)
    await spent(store, 1)
    await copy.restore()
    await server.kill()
    await server.start()
    await untilUsable(store)
    expect(store.losses()).toBe(before + 1)
    await admin.flushall()
    await spent(store, 1)
    expect(store.losses()).toBe(before + 2)
  })

  test('a loss is one for all limiters, whoever sees it first', async () => {
    const [store, other] = [await open(), await open()]
    await spent(store, 1)
    const losses = () => [store.losses(), other.losses()]
    const [before = 0, beforeOfOther = 0] = losses()
    await admin.flushall()
    await spent(other, 1)
    await expect.poll(losses).toEqual([before + 1, beforeOfOther + 1])

    const copy = await copyOf(admin, keyPrefix)
    // Only one of them knows of it.
    await spent(other, 1)
    await copy.restore()
    await server.kill()
    await server.start()
    await expect.poll(losses).toEqual([before + 2, beforeOfOther + 2])
  })

  test('a loss is told to who comes after somebody else has begun anew, until it is rebuilt', async () => {
    const store = await open()
    await spent(store, 1)
    await store.rebuilt()
    expect((await open()).losses()).toBe(0)
    await admin.flushall()
    // Of two losses the second is not rebuilt with the first.
    await spent(store, 1)
    await store.rebuilt()
    const before = store.losses()
    await admin.flushall()
    await spent(store, 1)
    await expect.poll(() => store.losses()).toBe(before + 1)
    expect((await open()).losses()).toBe(1)
    await store.rebuilt()
    expect((await open()).losses()).toBe(0)
  })

  test('what was let pass elsewhere is added once, as checks of its gateway', async () => {
    const [one, other] = [await open(), await open()]
    await spent(one, 5)
    const additions = [
      { ...spend(30, current), gateway: 'kong' },
      { ...spend(7, current), gateway: 'envoy' },
    ]
    const beganMs = one.nowMs()
    await one.add('first', additions, beganMs)
    await one.add('first', additions, beganMs)
    await other.add('first', additions, beganMs)
    expect(await used(other)).toBe(42)
    await one.add('second', additions.slice(1), beganMs)
    expect(await used(other)).toBe(49)
    // Records of the same calls, without an id.
    await apply(one, [effect(30)], 1)
    expect(await used(one)).toBe(49)
    await apply(one, [effect(10)], 2)
    expect(await used(one)).toBe(54)
  })

  describe('what was let pass elsewhere and has been raised already', () => {
    /** What a store says of Redis' clock may be wrong by half of the way there and back, on a busy machine by a lot. */
    const untilLater = () => sleep(100)
    const passed = (amount: number, gateway = 'kong') => ({ ...spend(amount, current), gateway })

    test('is not counted twice, whoever let it pass and in however many steps', async () => {
      const store = await open()
      await spent(store, 5)
      const beganMs = store.nowMs()
      await untilLater()
      // Of 100 units 60 were let pass with Redis, and 40 without it.
      await store.raise([spend(100, current)])
      await store.add('one', [passed(30)], beganMs)
      expect(await used(store)).toBe(100)
      await store.add('other', [passed(10, 'envoy')], beganMs)
      expect(await used(store)).toBe(100)
      // Somebody was not among those whose sums were known: 95 had been lacking in all.
      await store.add('third', [passed(60)], beganMs)
      expect(await used(store)).toBe(105)
    })

    test('is raised by a later pass that knows of more', async () => {
      const store = await open()
      const beganMs = store.nowMs()
      await untilLater()
      await store.raise([spend(60, current)])
      await store.add('one', [passed(40)], beganMs)
      expect(await used(store)).toBe(60)
      await store.raise([spend(100, current)])
      expect(await used(store)).toBe(100)
      await store.add('other', [passed(50)], beganMs)
      expect(await used(store)).toBe(100)
    })

    test('is added where it was let pass later, or the bucket has forgotten since', async () => {
      const store = await open()
      const beganMs = store.nowMs()
      await untilLater()
      await store.raise([spend(60, current)])
      await untilLater()
      await store.add('later', [passed(10)], store.nowMs())
      expect(await used(store)).toBe(70)
      const sinceMs = store.nowMs()
      await store.raise([{ ...spend(0, current), sinceMs }])
      await store.add('earlier', [{ ...passed(20), sinceMs }], beganMs)
      expect(await used(store)).toBe(20)
    })
  })

  test('scripts that Redis has forgotten are taught again', async () => {
    const store = await open()
    await spent(store, 1)
    await admin.script('FLUSH')
    const answers = await Promise.all(Array.from({ length: 100 }, () => store.decide(ask({ limit: 1_000 }))))
    expect(answers.every(({ isAllowed }) => isAllowed)).toBe(true)
    expect(await used(store)).toBe(101)
  })

  test('a comparison takes a window of many subjects in steps, and those without a cost too', async () => {
    const store = await open()
    const subjects = Array.from({ length: 600 }, (_, index) => `subject ${index}`)
    await apply(
      store,
      subjects.map(subject => effect(2, { spends: [spend(2, { subject })] })),
      600,
    )
    const { id } = await store.beginComparison()
    await apply(store, [effect(100, { spends: [spend(100, { subject: 'subject 599' })] })], 601)
    const costs = [...subjects.slice(0, 300), 'one more'].map(subject => ({ subject, gateway: 'kong', amount: 3 }))
    const how = { isWhole: true, mayLower: true, isRecordsOnly: false, resets: new Map() }
    const truth = { ...current, ...how, series: 'quota', costs }
    expect(await store.correct(id, [truth])).toEqual({ buckets: 601, added: 303, removed: 600 })
    const standing = async (subject: string) =>
      (await store.decide({ ...ask({ cost: 0, subject }), isDryRun: true })).standings[0]?.used
    expect(await Promise.all(['subject 0', 'subject 300', 'subject 599', 'one more'].map(standing))).toEqual([
      3, 0, 100, 3,
    ])
  })

  test('half a surrogate pair in a name does not stop the others', async () => {
    const store = await open()
    await store.decide(ask({ subject: 'a\ud800' }))
    await apply(store, [effect(5, { requestId: '\udfff', spends: [spend(5, { subject: 'b\ud800' })] }), effect(6)], 2)
    expect(await used(store)).toBe(6)
  })

  test("its clock is Redis'", async () => {
    const store = await open()
    const offMs = async () => {
      const [seconds, micros] = await admin.time()
      return Math.abs(store.nowMs() - (Number(seconds) * 1_000 + Number(micros) / 1_000))
    }
    // An answer that comes late on a busy machine is no clock that is wrong.
    await expect.poll(offMs).toBeLessThan(50)
  })

  test('buckets expire in Redis with their window, also when nobody sweeps', async () => {
    const store = await open()
    await spent(store, 1)
    for (const kind of ['buckets', 'names']) {
      const expiresMs = await admin.pttl(`${keyPrefix}${kind}:${current.startMs} quota`)
      expect(Math.abs(Date.now() + expiresMs - current.endMs - 60_000)).toBeLessThan(5_000)
    }
  })

  test('a server that cannot hold limits is refused with the reason', async () => {
    await admin.config('SET', 'maxmemory', '100mb')
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await expect(open()).rejects.toThrow(/allkeys-lru/)
    await admin.config('SET', 'maxmemory-policy', 'noeviction')
    await admin.config('SET', 'maxmemory', '0')
    await admin.replicaof('127.0.0.1', '1')
    await expect(open()).rejects.toThrow(/replica/)
    await admin.replicaof('NO', 'ONE')
    await admin.config('SET', 'requirepass', 'secret')
    await expect(open()).rejects.toThrow(/does not let us in/)
    const store = await open({ password: 'secret' })
    expect(await used(store)).toBe(0)
    await admin.config('SET', 'requirepass', '')
  })

  test('counters of another version are refused and left alone, with what to do', async () => {
    await spent(await open(), 5)
    const life = `${keyPrefix}life`
    const format = await admin.hget(life, 'format')
    await admin.hset(life, 'format', '2')
    await expect(openAny()).rejects.toThrow(/version \(format 2, .* limits\.keyPrefix/)
    await admin.hset(life, 'format', format ?? '')
    expect(await used(await open())).toBe(5)
  })

  test('a primary that becomes a replica is left alone until it is one again', async () => {
    const store = await open()
    await spent(store, 1)
    await admin.replicaof('127.0.0.1', '1')
    try {
      await expect(store.decide(ask())).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
      await expect.poll(() => store.unavailable()).toMatch(/replica/)
    } finally {
      await admin.replicaof('NO', 'ONE')
    }
    await untilUsable(store)
    await spent(store, 1)
    expect(await used(store)).toBe(2)
  })

  test('full memory refuses what needs more of it', async () => {
    const store = await open()
    await spent(store, 1)
    await admin.config('SET', 'maxmemory', '1')
    try {
      await expect(store.decide(ask())).rejects.toMatchObject({
        code: 'LIMITS_UNAVAILABLE',
        message: expect.stringContaining('OOM'),
      })
    } finally {
      await admin.config('SET', 'maxmemory', '0')
    }
    expect(await used(store)).toBe(1)
  })

  test.each([
    {
      setting: 'maxmemory',
      value: '1',
      before: '0',
      words: /no writes: its memory is full \(OOM\): raise its maxmemory/,
    },
    { setting: 'min-replicas-to-write', value: '1', before: '0', words: /no writes: too few of its replicas/ },
  ])(
    'writes that are refused are named until they are taken again: $setting',
    async ({ setting, value, before, words }) => {
      const lines: string[] = []
      const logger = pino({ base: null }, { write: line => void lines.push(line) })
      const deps = { dir: '', log: logger, deadlineMs: DEADLINE_MS }
      const store = await openRedisLimits({ ...options, url: server.url, keyPrefix: newPrefix() }, deps)
      stores.push(store)
      await untilUsable(store)
      await spent(store, 1)
      await admin.config('SET', setting, value)
      try {
        for (let turn = 0; turn < 3; turn += 1) {
          await expect(store.decide(ask())).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
        }
        expect(store.unavailable()).toMatch(words)
        // What denies needs no write.
        expect(await store.decide(ask({ cost: 1_000 }))).toMatchObject({ isAllowed: false })
        expect(store.unavailable()).toMatch(words)
      } finally {
        await admin.config('SET', setting, before)
      }
      await untilUsable(store)
      await spent(store, 1)
      const told = lines.filter(line => words.test(line))
      expect(told).toHaveLength(1)
      expect(lines.at(-1)).toContain('Redis takes writes again')
    },
  )

  test.skipIf(spawnSync('openssl', ['version']).error !== undefined)('speaks TLS', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
    const [keyFile, certFile] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '1']
    const files = ['-keyout', keyFile, '-out', certFile]
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    spawnSync('openssl', ['req', '-x509', ...key, ...files, ...subject])
    const [port = 0] = await freePorts(1)
    try {
      const files = ['tls-cert-file', certFile, 'tls-key-file', keyFile, 'tls-ca-cert-file', certFile]
      await admin.call('CONFIG', 'SET', 'tls-auth-clients', 'no', ...files, 'tls-port', String(port))
      const url = `rediss://localhost:${port}`
      const store = await open({ url, tls: { caFile: certFile } })
      await spent(store, 3)
      expect(await used(store)).toBe(3)
      const distrusting = await openAny({ url })
      await expect.poll(() => distrusting.unavailable()).toMatch(/self.signed/)
    } finally {
      await admin.config('SET', 'tls-port', '0')
      await rm(dir, { recursive: true, force: true })
    }
  })

  test('opens while Redis is away, and decides when it has come', async () => {
    await server.kill()
    const store = await openAny()
    await expect.poll(() => store.unavailable()).toMatch(/ECONNREFUSED/)
    expect(store.isJoined()).toBe(false)
    await expect.poll(() => Math.abs(store.nowMs() - Date.now())).toBeLessThan(50)
    await expect(store.decide(ask())).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
    await server.start()
    await untilUsable(store)
    expect(store.isJoined()).toBe(true)
    await spent(store, 1)
  })

  test('opens, unavailable, where nobody ever answers', async () => {
    const silent = createServer(() => undefined)
    await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
    const address = silent.address()
    const port = typeof address === 'object' ? address?.port : 0
    const store = await openAny({ url: `redis://127.0.0.1:${port}` })
    expect(store.unavailable()).not.toBeNull()
    await store.close()
    silent.close()
  })
})

/** The keys of a store as they are now, to be put back later. */
async function copyOf(admin: Redis, keyPrefix: string): Promise<{ restore(): Promise<void> }> {
  const keys = await admin.keys(`${keyPrefix}*`)
  const dumps = await Promise.all(keys.map(async key => [key, await admin.dumpBuffer(key)] as const))
  return {
    async restore() {
      const newer = await admin.keys(`${keyPrefix}*`)
      const all = admin.multi().del(newer)
      for (const [key, dump] of dumps) if (dump !== null) all.restore(key, 0, dump)
      await all.exec()
    },
  }
}
