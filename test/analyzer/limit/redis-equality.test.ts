/** The two limit stores are one arithmetic: the same sequence gives the same answers, bit for bit. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GATEWAYS_MAX } from '../../../analyzer/limit/bucket.ts'
import { openEmbeddedLimits } from '../../../analyzer/limit/embedded.ts'
import {
  type DecisionReference,
  type LimitStore,
  LimitStoreError,
  LimitStoreFull,
  type RecordSpend,
  type Standing,
} from '../../../analyzer/limit/limit-store.ts'
import { openRedisLimits } from '../../../analyzer/limit/redis.ts'
import type { Corrections } from '../../../analyzer/limit/truths.ts'
import { whatIsMissing } from '../../servers/missing.ts'
import { type RedisServer, redisChecks, startRedis } from '../../servers/redis.ts'

const log = pino({ level: 'silent' })
const missing = whatIsMissing(redisChecks)
if (missing !== null) process.stderr.write(`Left out: the limit stores are equal. ${missing}\n`)

const START_MS = Date.UTC(2026, 10, 21, 12)
const HOUR_MS = 3_600_000
const STARTS_MS = [START_MS, START_MS - HOUR_MS / 2]
/** Small, so that both are reached. */
const room = { bucketsMax: 9, requestsMax: 3 }

const amount = fc.oneof(
  fc.integer({ min: 0, max: 60 }),
  fc.double({ min: 0, max: 60, noNaN: true }),
  fc.constantFrom(0.1, 0.2, 0.7, 1e-9, 2 ** 53),
)
const mostly = <T>(usual: T, others: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: fc.constant(usual), weight: 4 }, { arbitrary: others, weight: 1 })
const anyAddress = fc
  .record({
    series: fc.constantFrom('tokens', 'requests|1h', 'größe “x”'),
    subject: fc.constantFrom('a', 'b', '4:acme2:kö', ''),
    startMs: fc.constantFrom(...STARTS_MS),
  })
  .map(one => ({ ...one, endMs: one.startMs + HOUR_MS }))
// Most of what happens meets in one bucket, else hardly anything would.
const address = mostly({ series: 'tokens', subject: 'a', startMs: START_MS, endMs: START_MS + HOUR_MS }, anyAddress)
const gateways = Array.from({ length: GATEWAYS_MAX + 4 }, (_, index) => `gateway ${index}`)
const gateway = fc.oneof(
  { arbitrary: fc.constantFrom('', 'kong', 'nginx'), weight: 4 },
  { arbitrary: fc.constantFrom(...gateways), weight: 1 },
)
const requestId = fc.constantFrom(null, null, 'r1', 'r2', 'r3', 'r4')
const caller = fc.constantFrom('', 'a', 'größe', '/a', 'acme/a', 'other/größe')
/** Which decision made before is meant; none for a number beyond. */
const earlier = fc.nat({ max: 12 })

const began = fc.constantFrom(START_MS + 150, START_MS + 400)
/** Told in any order: a limiter may not know yet of one that another has told of. */
const lastReset = mostly(0, fc.constantFrom(START_MS + 100, START_MS + 200, START_MS + 300))

const claims = fc.array(
  fc
    .record({
      address,
      limit: mostly(1e17, amount),
      cost: amount,
      isSpent: mostly(true, fc.constant(false)),
      isNoted: fc.boolean(),
      isEnforced: fc.boolean(),
      isDeniedWhenAway: fc.constant(false),
      isHeld: mostly(false, fc.constant(true)),
      sinceMs: lastReset,
    })
    .map(({ address: where, ...rest }) => ({ ...where, ...rest, slots: null, drain: null })),
  { maxLength: 3 },
)
const spends = fc.array(
  fc
    .record({ address, amount, isRecordsOnly: fc.boolean(), sinceMs: lastReset, startedAtMs: began })
    .map(({ address: where, ...rest }) => ({ ...where, ...rest, drain: null })),
  { maxLength: 3 },
)
const decideStep = fc.record({
  kind: fc.constant('decide' as const),
  verb: fc.constantFrom('check' as const, 'check' as const, 'reserve' as const, 'record' as const),
  claims,
  gateway,
  requestId,
  caller,
  isDryRun: mostly(false, fc.constant(true)),
})
const settleStep = fc.record({ kind: fc.constantFrom('settle' as const, 'release' as const), earlier, spends })
const applyStep = fc.record({
  kind: fc.constant('apply' as const),
  effects: fc.array(fc.record({ earlier, gateway, requestId, caller, isNameless: fc.boolean(), spends }), {
    maxLength: 4,
  }),
  checksOnly: fc.subarray(['tokens', 'requests|1h']),
  held: fc.subarray(['tokens', 'requests|1h']),
})
const compareStep = fc.record({
  kind: fc.constant('compare' as const),
  between: applyStep,
  isOvertaken: fc.boolean(),
  truths: fc.uniqueArray(
    fc.record({
      address,
      isWhole: fc.boolean(),
      mayLower: fc.boolean(),
      isRecordsOnly: fc.boolean(),
      resets: fc.array(
        fc.tuple(
          fc.constantFrom('a', 'b'),
          lastReset.map(sinceMs => ({ sinceMs })),
        ),
        { maxLength: 2 },
      ),
      costs: fc.array(fc.record({ subject: fc.constantFrom('a', 'b', 'c'), gateway, amount: fc.nat({ max: 90 }) }), {
        maxLength: 4,
      }),
    }),
    { maxLength: 2, selector: truth => `${truth.address.series} ${truth.address.startMs}` },
  ),
})
/** More gateways than a bucket keeps apart. */
const crowdStep = fc.tuple(amount, address, fc.subarray(gateways)).map(([cost, where, crowd]) => ({
  kind: 'apply' as const,
  effects: crowd.map(one => ({
    earlier: 99,
    gateway: one,
    requestId: null,
    caller: '',
    isNameless: false,
    spends: [{ ...where, amount: cost, isRecordsOnly: false, sinceMs: 0, startedAtMs: START_MS, drain: null }],
  })),
  checksOnly: [],
  held: [],
}))
const forgetStep = fc.record({ kind: fc.constant('forget' as const) })
const steps = fc.array(
  fc.oneof(
    { arbitrary: decideStep, weight: 6 },
    { arbitrary: settleStep, weight: 2 },
    { arbitrary: applyStep, weight: 3 },
    { arbitrary: compareStep, weight: 1 },
    { arbitrary: fc.oneof(crowdStep, forgetStep), weight: 1 },
  ),
  { minLength: 1, maxLength: 40, size: 'max' },
)
type Step = typeof steps extends fc.Arbitrary<(infer T)[]> ? T : never

/** A window of which the store knows one call of unknown cost. */
const compareNothing: Step = {
  kind: 'compare',
  between: { kind: 'apply', effects: [], checksOnly: [], held: [] },
  isOvertaken: false,
  truths: [
    {
      address: { series: 'tokens', subject: 'a', startMs: START_MS, endMs: START_MS + HOUR_MS },
      ...{ isWhole: false, mayLower: false, isRecordsOnly: false, resets: [] },
      costs: [{ subject: 'a', gateway: '', amount: 0 }],
    },
  ],
}

/** Buckets are corrected in an order of each store's own, which the last digits of a sum of fractions show. */
const summed = ({ buckets, added, removed }: Corrections) => ({
  ...{ buckets, added: added.toPrecision(12), removed: removed.toPrecision(12) },
})

/** Goes through the steps; answers everything that was answered, with epochs left out. */
async function live(store: LimitStore, sequence: readonly Step[]): Promise<unknown[]> {
  const references: DecisionReference[] = []
  const answers: unknown[] = []
  let offset = 0
  const applyRecords = async ({ effects, checksOnly, held }: Extract<Step, { kind: 'apply' }>) => {
    offset += effects.length
    return store.applyRecords({
      effects: effects.map(({ earlier: number, spends: costs, ...rest }) => ({
        ...rest,
        reference: references[number] ?? null,
        spends: costs satisfies RecordSpend[],
      })),
      checksOnly: new Set(checksOnly),
      held: new Set(held),
      position: { logId: 'log', partition: 0, nextOffset: offset, appliedOffset: offset - 1 },
    })
  }
  const take = async (step: Step): Promise<unknown> => {
    switch (step.kind) {
      case 'decide': {
        const { kind: _kind, ...asked } = step
        const holds = asked.verb === 'reserve' || asked.claims.some(({ isHeld }) => isHeld)
        const expiresAtMs = holds ? START_MS + 60_000 : null
        const decision = await store.decide({ ...asked, expiresAtMs, note: null })
        if (decision.reference !== null) references.push(decision.reference)
        return { ...decision, reference: decision.reference && { ...decision.reference, epoch: 0 } }
      }
      case 'settle':
      case 'release': {
        const reference = references[step.earlier]
        if (reference === undefined) return null
        return step.kind === 'settle' ? store.settle(reference, step.spends) : store.release(reference)
      }
      case 'apply':
        return applyRecords(step)
      case 'compare': {
        const { id, cut, windows } = await store.beginComparison()
        const applied = await applyRecords(step.between)
        if (step.isOvertaken) await store.forgetComparisons()
        const truths = step.truths.map(({ address: { series, startMs, endMs }, resets, ...rest }) => ({
          ...{ series, startMs, endMs },
          ...rest,
          resets: new Map(resets),
        }))
        return { cut, windows, applied, corrections: summed(await store.correct(id, truths)) }
      }
      case 'forget':
        return store.forgetComparisons()
    }
  }
  for (const step of sequence) {
    const answer = await take(step).catch(error => {
      if (!(error instanceof LimitStoreError)) throw error
      return error instanceof LimitStoreFull ? { lacks: error.lacks, claims: error.claims } : error.code
    })
    answers.push(answer, store.bucketCount(), await store.position('log', 0))
  }
  return answers
}

/** What is used and reserved in every bucket there may be of these windows. */
async function standings(store: LimitStore, starts: readonly number[] = STARTS_MS): Promise<(Standing | undefined)[]> {
  const found: (Standing | undefined)[] = []
  for (const series of ['tokens', 'requests|1h', 'größe “x”']) {
    for (const subject of ['a', 'b', '4:acme2:kö', '', 'c']) {
      for (const startMs of starts) {
        const one = { series, subject, startMs, endMs: startMs + HOUR_MS, limit: 1, cost: 0 }
        const asked = {
          ...one,
          isSpent: true,
          isEnforced: false,
          isDeniedWhenAway: false,
          isHeld: false,
          sinceMs: 0,
          slots: null,
          drain: null,
        }
        const rest = { gateway: '', requestId: null, caller: '', isDryRun: true, expiresAtMs: null, note: null }
        found.push((await store.decide({ verb: 'check', claims: [asked], ...rest })).standings[0])
      }
    }
  }
  return found
}

/** Short, so that time goes on through many of them. */
const SLIDING = { everyMs: 1_000, lengthMs: 4_000 }
const RATE = { periodMs: 700, keptMs: 5_000 }
const units = fc.oneof(fc.nat({ max: 9 }), fc.double({ min: 0, max: 9, noNaN: true }))
const refund = fc.nat({ max: 9 }).map(given => -given)
const rollingSubject = fc.constantFrom('a', 'b')
const sinceMs = mostly(
  0,
  fc.nat({ max: 40 }).map(half => START_MS + (half * SLIDING.everyMs) / 2),
)
const slidingClaim = fc.record({
  series: fc.constant('sliding'),
  ...{
    subject: rollingSubject,
    limit: units,
    cost: fc.oneof(units, units, refund),
    isEnforced: fc.boolean(),
    isDeniedWhenAway: fc.constant(false),
  },
  ...{ isSpent: fc.constant(true), isHeld: mostly(false, fc.constant(true)), drain: fc.constant(null) },
  slots: fc.constant(SLIDING),
  sinceMs,
})
const rateSteps = fc
  .array(fc.tuple(fc.nat({ max: 40_000 }), units), { minLength: 1, maxLength: 4 })
  .map(steps => steps.toSorted(([one], [other]) => one - other))
const drain = fc.oneof(
  fc.record({ amount: units }).map(one => ({ ...RATE, ...one })),
  fc.record({ amount: units, stretches: fc.constantFrom(2, 3) }).map(one => ({ ...RATE, ...one })),
  fc.record({ amount: units, steps: rateSteps }).map(({ amount: now, steps: changes }) => ({
    ...RATE,
    amount: now,
    steps: changes.map(([afterMs, then]) => [START_MS + afterMs, then] as const),
    ...(changes.length > 2 && { stretches: 2 }),
  })),
)
const rateClaim = fc.record({
  series: fc.constant('rate'),
  ...{
    subject: rollingSubject,
    limit: mostly(1e9, units),
    cost: units,
    isEnforced: fc.boolean(),
    isDeniedWhenAway: fc.constant(false),
    sinceMs,
    drain,
  },
  ...{ isSpent: fc.constant(true), isHeld: fc.constant(false), slots: fc.constant(null) },
})
const rollingCost = {
  subject: rollingSubject,
  amount: units,
  isRecordsOnly: fc.boolean(),
  sinceMs,
  startedAtMs: sinceMs,
}
const rollingSpend = fc.oneof(
  fc.record({ ...rollingCost, agoSlots: fc.nat({ max: 7 }) }),
  fc.record({ ...rollingCost, drain }),
)
const rollingStep = fc.record({
  waitMs: fc.oneof(fc.nat({ max: 900 }), fc.constantFrom(0, 1, 4_999, 11_000)),
  verb: fc.constantFrom('check' as const, 'check' as const, 'reserve' as const, 'record' as const),
  claims: fc.array(fc.oneof(slidingClaim, rateClaim), { maxLength: 3 }),
  earlier,
  how: fc.constantFrom('settle' as const, 'release' as const, 'apply' as const, 'apply' as const),
  spends: fc.array(rollingSpend, { maxLength: 2 }),
})
type RollingStep = typeof rollingStep extends fc.Arbitrary<infer T> ? T : never

/** As `live`, of what has no reset, while time goes on. Nothing expires: that would depend on when a store sweeps. */
async function liveOn(store: LimitStore, sequence: readonly RollingStep[], wait: (ms: number) => number) {
  const answers: unknown[] = []
  const references: DecisionReference[] = []
  let offset = 0
  for (const { waitMs, verb, claims: wanted, earlier: number, how, spends: costs } of sequence) {
    const nowMs = wait(waitMs)
    const bounds = (agoSlots: number) => {
      const startMs = Math.floor(nowMs / SLIDING.everyMs - agoSlots) * SLIDING.everyMs
      return { startMs, endMs: startMs + SLIDING.everyMs + SLIDING.lengthMs }
    }
    const decision = await store.decide({
      ...{
        verb,
        gateway: 'kong',
        requestId: null,
        caller: '',
        isDryRun: false,
        expiresAtMs: START_MS + HOUR_MS,
        note: null,
      },
      claims: wanted.map(one => ({ ...one, ...bounds(0) })),
    })
    if (decision.reference !== null) references.push(decision.reference)
    answers.push({ ...decision, reference: decision.reference && { ...decision.reference, epoch: 0 } })
    const spent = costs.map(one =>
      'drain' in one
        ? { ...one, ...bounds(0), series: 'rate' }
        : { ...one, ...bounds(one.agoSlots), series: 'sliding', drain: null },
    )
    const reference = references[number] ?? null
    if (how === 'apply') {
      offset += 1
      const effects = [{ reference, gateway: 'kong', requestId: null, caller: '', isNameless: false, spends: spent }]
      const position = { logId: 'log', partition: 0, nextOffset: offset, appliedOffset: offset - 1 }
      answers.push(await store.applyRecords({ effects, checksOnly: new Set(), held: new Set(), position }))
    } else if (reference !== null) {
      answers.push(how === 'settle' ? await store.settle(reference, spent) : await store.release(reference))
    }
  }
  return answers
}

describe.skipIf(missing !== null)('embedded and redis', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server?.stop())

  let runs = 0
  const openBoth = async (now: () => number, roomy = room) => {
    runs += 1
    const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
    const embedded = await openEmbeddedLimits({ kind: 'embedded', flushMs: 50, ...roomy }, { dir, log, now })
    const redis = await openRedisLimits(
      { kind: 'redis', url: server.url, db: 0, keyPrefix: `run-${runs}:`, ...roomy },
      { dir, log, now, deadlineMs: 10_000 },
    )
    const close = async () => {
      await redis.close()
      await embedded.close()
      await rm(dir, { recursive: true, force: true })
    }
    return { embedded, redis, close }
  }

  test('answer the same to the same sequence', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async sequence => {
        const { embedded, redis, close } = await openBoth(() => START_MS + 1_000)
        try {
          expect(await live(redis, sequence)).toEqual(await live(embedded, sequence))
          expect(await standings(redis)).toEqual(await standings(embedded))
        } finally {
          await close()
        }
      }),
      { numRuns: 60, examples: [[[compareNothing]]] },
    )
  })

  test('give the same back when reservations expire and when a window ends', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(decideStep, { minLength: 5, maxLength: 25, size: 'max' }), async sequence => {
        let nowMs = START_MS + 1_000
        const { embedded, redis, close } = await openBoth(() => nowMs)
        try {
          expect(await live(redis, sequence)).toEqual(await live(embedded, sequence))
          const now = (store: LimitStore) => standings(store, [START_MS])
          const held = await now(embedded)
          expect(await now(redis)).toEqual(held)
          nowMs = START_MS + HOUR_MS / 2
          // Each sweeps in its own time.
          if (held.some(standing => standing !== undefined && standing.reserved > 0))
            for (const store of [redis, embedded]) await expect.poll(() => now(store)).not.toEqual(held)
          await expect.poll(() => redis.bucketCount() - embedded.bucketCount()).toBe(0)
          expect(await now(redis)).toEqual(await now(embedded))
        } finally {
          await close()
        }
      }),
      { numRuns: 5, endOnFailure: true },
    )
  })

  test('slide and drain the same, as time goes on', async () => {
    const sequences = fc.array(rollingStep, { minLength: 5, maxLength: 40, size: 'max' })
    await fc.assert(
      fc.asyncProperty(sequences, async sequence => {
        let nowMs = START_MS
        const wait = (ms: number) => {
          nowMs += ms
          return nowMs
        }
        const { embedded, redis, close } = await openBoth(() => nowMs, { bucketsMax: 1_000, requestsMax: 10 })
        try {
          const answers = await liveOn(embedded, sequence, wait)
          nowMs = START_MS
          expect(await liveOn(redis, sequence, wait)).toEqual(answers)
        } finally {
          await close()
        }
      }),
      { numRuns: 60 },
    )
  })
})
