/**
 * The promises of `LimitStore` about resets by hand, as limiters ask for them: what calls took that began before counts no
 * more, whenever it comes to be known, and leaves no room. Every adapter's test calls it.
 */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { claimOf } from '../../analyzer/limit/claiming.ts'
import type { DecisionReference, LimitStore } from '../../analyzer/limit/limit-store.ts'
import { spendsOf } from '../../analyzer/limit/spending.ts'
import { addressAt } from '../../analyzer/limit/standing.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../analyzer/policy/policy.ts'
import type { Quota } from '../../analyzer/policy/quota.ts'
import { bucketAt } from '../../analyzer/usage/window.ts'
import { callDimensions, testQuota } from '../analyzer/quotas.ts'
import { type LimitStoreHarness, positionAfter, request } from './limit-store.ts'

/** The middle of a minute, an hour, a day and a slot: nothing ends while a test runs. */
const START_MS = Date.UTC(2026, 10, 21, 12, 30)
const WINDOWS = {
  fixed: { kind: 'fixed', everySeconds: 3_600 },
  calendar: { kind: 'calendar', every: 'day', timezone: 'UTC' },
  sliding: { kind: 'sliding', everySeconds: 86_400, slots: 4 },
  // Less than a thousandth of a unit drains while a test runs.
  rate: { kind: 'rate', everySeconds: 2_592_000, burst: 1_000_000 },
} as const
const NOT_RESET = { limit: 100, elsewhere: 0, deniedUntilMs: null, sinceMs: 0 }
const COUNTS = ['checks', 'records', 'checks_and_records'] as const

/** A call, and what is known of it. */
interface Made {
  readonly startedAtMs: number
  readonly estimate: number
  readonly gateway: string
  readonly requestId: string | null
  /** Null for a call that nobody asked for. */
  readonly reference: DecisionReference | null
  readonly isHeld: boolean
  /** By which its record finds its check. */
  readonly isLinked: boolean
  /** Null until it is known. */
  cost: number | null
  /** What settled its check; null while that is pending or held. */
  settledBy: 'caller' | 'record' | null
  isRecorded: boolean
}

export function describeLimitStoreResets(name: string, prepare: () => Promise<LimitStoreHarness>): void {
  describe(name, () => {
    let harness: LimitStoreHarness
    let store: LimitStore
    let nowMs: number
    let offset = 0
    beforeEach(async () => {
      harness = await prepare()
      nowMs = START_MS
      offset = 0
      store = await harness.open(() => nowMs)
    })
    afterEach(async () => {
      await store.close()
      await harness.remove()
    })
    const restart = async () => {
      await store.close()
      store = await harness.open(() => nowMs)
    }

    /** One quota and one of its subjects, as a limiter, a settler and a reconciler see them. */
    function createWorld(quota: Quota, consumer = 'web') {
      const dims = callDimensions({ consumer })
      const calls: Made[] = []
      let sinceMs = 0
      let policy = createPolicy([quota])
      const claim = (cost: number) =>
        claimOf(quota, consumer, { cost, allowance: policy.allowance(quota, consumer, nowMs), nowMs })
      const spends = ({ startedAtMs }: Made, cost: number, isCounted: (one: Quota) => boolean) =>
        spendsOf({ dims, startedAtMs, nowMs, costIn: () => cost }, policy, isCounted).map(({ spend }) => spend)
      /** A millisecond on, so that one comes before the other. */
      const made = (call: Omit<Made, 'startedAtMs' | 'cost' | 'settledBy' | 'isRecorded'>): Made => {
        const one: Made = { ...call, startedAtMs: nowMs, cost: null, settledBy: null, isRecorded: false }
        nowMs += 1
        calls.push(one)
        return one
      }
      const world = {
        calls,
        async ask(estimate: number, how: 'decision' | 'request' | 'none' = 'decision', gateway = 'kong') {
          const requestId = how === 'request' ? `${consumer}/${calls.length}` : null
          const { reference } = await store.decide(request([claim(estimate)], { gateway, requestId }))
          return made({ estimate, gateway, requestId, reference, isHeld: false, isLinked: how !== 'none' })
        },
        async reserve(estimate: number, ttlMs = 3_600_000) {
          const rest = { verb: 'reserve', expiresAtMs: nowMs + ttlMs, note: '{}' } as const
          const { reference } = await store.decide(request([claim(estimate)], rest))
          return made({ estimate, gateway: 'kong', requestId: null, reference, isHeld: true, isLinked: true })
        },
        unasked: () =>
          made({ estimate: 0, gateway: 'kong', requestId: null, reference: null, isHeld: false, isLinked: false }),
        async settle(call: Made, cost: number) {
          if (call.reference !== null)
            await store.settle(
              call.reference,
              spends(call, cost, one => one.counts !== 'records'),
            )
          call.cost = cost
          call.settledBy = 'caller'
        },
        async release(call: Made) {
          if (call.reference !== null) await store.release(call.reference)
          call.cost = 0
          call.settledBy = 'caller'
        },
        async record(call: Made, cost: number) {
          call.cost = cost
          const { gateway, requestId, isLinked, reference } = call
          const found = isLinked && requestId === null ? reference : null
          const effect = { gateway, requestId, caller: '', isNameless: false, reference: found }
          const checksOnly = new Set(quota.counts === 'checks' ? [quota.series] : [])
          offset += 1
          const effects = [{ ...effect, spends: spends(call, cost, one => one.counts !== 'checks') }]
          await store.applyRecords({ effects, checksOnly, held: new Set(), position: positionAfter(offset) })
          call.isRecorded = true
          if (isLinked) call.settledBy ??= 'record'
        },
        /** `isTold`: as the limiter does that was asked to; else the next decision tells the store. */
        async reset(isTold = true) {
          sinceMs = nowMs
          const { endMs } = bucketAt(quota.window, nowMs)
          const reset = { quota: quota.name, subject: { consumer }, used: 0, fromMs: nowMs, untilMs: endMs }
          policy = createPolicy([quota], { ...NO_ADJUSTMENTS, resets: [reset] })
          const { drain, ...one } = claim(0)
          if (isTold) await store.raise([{ ...addressAt({ ...one, drain }, nowMs), sinceMs, amount: 0, drain }])
        },
        /** Compares with all that was recorded. `between` happens while the store of call records is asked. */
        async compare(between: () => Promise<unknown> = async () => undefined) {
          const { id, windows } = await store.beginComparison()
          const resets = policy.resets(quota, nowMs)
          const recorded = calls.filter(
            call => call.isRecorded && call.startedAtMs >= (resets.get(consumer)?.sinceMs ?? 0),
          )
          const costs = recorded.map(({ gateway, cost }) => ({ subject: consumer, gateway, amount: cost ?? 0 }))
          await between()
          const truths = windows.map(({ series, startMs, endMs }) => ({
            ...{ series, startMs, endMs, resets, costs, isWhole: true, mayLower: true },
            isRecordsOnly: quota.counts === 'records',
          }))
          return store.correct(id, truths)
        },
        async standing() {
          const { standings } = await store.decide(request([claim(0)], { isDryRun: true }))
          return { used: standings[0]?.used ?? Number.NaN, reserved: standings[0]?.reserved }
        },
        /** The model: calls that began since the reset, each once. */
        expected() {
          const counted = calls.filter(({ startedAtMs }) => startedAtMs >= sinceMs)
          const sum = (of: readonly Made[], units: (call: Made) => number) =>
            of.reduce((all, one) => all + units(one), 0)
          const known = ({ cost }: Made) => cost ?? 0
          const asked = counted.filter(({ reference }) => reference !== null)
          if (quota.counts === 'records') {
            return {
              used: sum(
                counted.filter(({ isRecorded }) => isRecorded),
                known,
              ),
              reserved: 0,
            }
          }
          const isOpen = ({ settledBy }: Made) => settledBy === null
          const reserved = sum(
            asked.filter(call => call.isHeld && isOpen(call)),
            ({ estimate }) => estimate,
          )
          if (quota.counts === 'checks') {
            const spent = asked.filter(call => !(call.isHeld && isOpen(call)))
            // Its record leaves what a check took.
            const took = (call: Made) => (call.settledBy === 'caller' ? known(call) : call.estimate)
            return { used: sum(spent, took), reserved }
          }
          let used = sum(
            asked.filter(call => !isOpen(call)),
            known,
          )
          for (const name of ['kong', 'nginx']) {
            const ofGateway = counted.filter(({ gateway }) => gateway === name)
            const pending = ofGateway.filter(call => call.reference !== null && !call.isHeld && isOpen(call))
            const unlinked = ofGateway.filter(({ isLinked, isRecorded }) => !isLinked && isRecorded)
            used += Math.max(
              sum(pending, ({ estimate }) => estimate),
              sum(unlinked, known),
            )
          }
          return { used, reserved }
        },
      }
      return world
    }
    const tokens = (fields: Record<string, unknown> = {}) =>
      testQuota({ unit: 'total_tokens', per: ['consumer'], limit: 100, ...fields })

    describe.each(Object.entries(WINDOWS))('in a window that is %s', (kind, window) => {
      const limit = kind === 'rate' ? 1 : 100
      const quota = tokens({ window, limit })

      test('estimates that were pending or held are settled for nothing, whoever settles them', async () => {
        const world = createWorld(quota)
        const pending = [await world.ask(10), await world.ask(10, 'request'), await world.ask(10)]
        const [settled, released, recorded] = [
          await world.reserve(10),
          await world.reserve(10),
          await world.reserve(10),
        ]
        await world.reset()
        expect(await world.standing()).toEqual({ used: 0, reserved: 0 })
        await world.ask(7)
        const [byId, byRequest, byCaller] = pending
        if (byId && byRequest && byCaller) {
          await world.record(byId, 3)
          await world.record(byRequest, 40)
          await world.settle(byCaller, 5)
        }
        await world.settle(settled, 50)
        await world.release(released)
        await world.record(recorded, 20)
        const { used, reserved } = await world.standing()
        expect(used).toBeCloseTo(7, 2)
        expect(reserved).toBe(0)
      })

      test('outlives a restart, and what is charged later is settled as ever', async () => {
        const world = createWorld(quota)
        const before = await world.ask(30)
        await world.reset()
        const after = await world.ask(20)
        await restart()
        await world.record(before, 10)
        expect((await world.standing()).used).toBeCloseTo(20, 2)
        await world.record(after, 25)
        expect((await world.standing()).used).toBeCloseTo(25, 2)
      })

      test('a second one forgets what came since the first', async () => {
        const world = createWorld(quota)
        const [first] = [await world.ask(30), await world.reset()]
        const second = await world.ask(20)
        await world.reset()
        await world.record(second, 1)
        await world.record(first, 1)
        await world.ask(5)
        expect((await world.standing()).used).toBeCloseTo(5, 2)
      })
    })

    test('a reservation that expires after the reset gives nothing back', async () => {
      const world = createWorld(tokens())
      await world.reserve(60, 1_000)
      await world.reset()
      await world.ask(30)
      await world.reserve(40)
      nowMs += 2_000
      await expect.poll(() => store.reservations(null, 10)).toHaveLength(1)
      expect(await world.standing()).toEqual({ used: 30, reserved: 40 })
    })

    test('what a call spends after the reset beside its check of before is taken out with it, by its record', async () => {
      const world = createWorld(tokens())
      const call = await world.ask(10, 'request')
      await world.reset()
      const quota = tokens()
      const claim = claimOf(quota, 'web', {
        cost: 25,
        allowance: { ...NOT_RESET, sinceMs: nowMs },
        nowMs,
      })
      await store.decide(request([claim], { verb: 'record', requestId: call.requestId }))
      expect((await world.standing()).used).toBe(25)
      await world.record(call, 90)
      expect((await world.standing()).used).toBe(0)
    })

    test('a limiter that has not been told yet spends beside those that have, and forgets nothing', async () => {
      const world = createWorld(tokens())
      await world.ask(40)
      const late = claimOf(tokens(), 'web', {
        cost: 5,
        allowance: NOT_RESET,
        nowMs,
      })
      await world.reset()
      await store.decide(request([late]))
      await world.ask(6)
      await store.decide(request([late]))
      expect((await world.standing()).used).toBe(16)
    })

    test('a settler that has not been told yet spends nothing for calls of before', async () => {
      const world = createWorld(tokens())
      const [pending, held, unasked] = [await world.ask(10), await world.reserve(10), world.unasked()]
      const untold = { ...claimOf(tokens(), 'web', { cost: 0, allowance: NOT_RESET, nowMs }), isRecordsOnly: false }
      const spendOf = ({ startedAtMs }: Made, amount: number) => ({ ...untold, amount, startedAtMs })
      await world.reset()
      nowMs += 1
      const after = world.unasked()
      if (held.reference !== null) await store.settle(held.reference, [spendOf(held, 30)])
      const effect = { gateway: 'kong', requestId: null, caller: '', isNameless: false, reference: null }
      const effects = [
        { ...effect, reference: pending.reference, spends: [spendOf(pending, 20)] },
        { ...effect, spends: [spendOf(unasked, 40)] },
        { ...effect, spends: [spendOf(after, 3)] },
      ]
      await store.applyRecords({ effects, checksOnly: new Set(), held: new Set(), position: positionAfter(3) })
      expect(await world.standing()).toEqual({ used: 3, reserved: 0 })
    })

    test('a comparison under way across the reset brings nothing back and takes nothing away', async () => {
      const world = createWorld(tokens())
      await world.record(world.unasked(), 30)
      const missed = world.unasked()
      Object.assign(missed, { cost: 50, isRecorded: true })
      await world.compare(() => world.reset())
      expect((await world.standing()).used).toBe(0)
      await world.record(world.unasked(), 8)
      await world.compare()
      expect(await world.standing()).toEqual({ used: 8, reserved: 0 })
      // Nobody has forgotten yet what the store of call records was asked for without.
      await world.reset(false)
      await world.record(world.unasked(), 4)
      await world.compare()
      expect((await world.standing()).used).toBe(4)
    })

    test('counters that were lost are rebuilt of what came after it', async () => {
      const world = createWorld(tokens())
      await world.record(world.unasked(), 30)
      await world.reset()
      await world.record(world.unasked(), 8)
      await store.close()
      await harness.remove()
      harness = await prepare()
      store = await harness.open(() => nowMs)
      await world.record(world.unasked(), 2)
      await world.compare()
      expect((await world.standing()).used).toBe(10)
    })

    const steps = fc.array(
      fc.record({
        what: fc.constantFrom(
          ...(['ask', 'ask', 'unlinked', 'unlinked', 'reserve', 'unasked'] as const),
          ...(['record', 'record', 'record', 'settle', 'release', 'reset', 'reset', 'compare', 'restart'] as const),
        ),
        units: fc.integer({ min: 1, max: 60 }),
        gateway: fc.constantFrom('kong', 'nginx'),
        which: fc.nat(),
        flag: fc.boolean(),
      }),
      { minLength: 4, maxLength: 25, size: 'max' },
    )
    let runs = 0
    test.each(
      COUNTS.flatMap(counts => Object.entries(WINDOWS).map(([kind, window]) => [counts, kind, window] as const)),
    )('counts %s, %s: used is what calls took that began since, whatever happens', async (counts, kind, window) => {
      const limit = kind === 'rate' ? 1 : 1_000_000
      const quota = tokens({ counts, window, limit })
      await fc.assert(
        fc.asyncProperty(steps, async sequence => {
          runs += 1
          nowMs += 1
          const world = createWorld(quota, `run ${runs}`)
          const pick = (which: number, isMeant: (call: Made) => boolean) => {
            const some = world.calls.filter(isMeant)
            return some[which % some.length]
          }
          const isOpen = ({ reference, isLinked, settledBy }: Made) =>
            reference !== null && isLinked && settledBy === null
          for (const { what, units, gateway, which, flag } of sequence) {
            const open = pick(which, isOpen)
            const unrecorded = pick(which, call => !call.isRecorded)
            if (what === 'ask') await world.ask(units, flag ? 'decision' : 'request', gateway)
            else if (what === 'unlinked') await world.ask(units, 'none', gateway)
            else if (what === 'reserve') await world.reserve(units)
            else if (what === 'unasked') world.unasked()
            else if (what === 'record' && unrecorded) await world.record(unrecorded, unrecorded.cost ?? units)
            else if (what === 'settle' && open) await world.settle(open, units)
            else if (what === 'release' && open) await world.release(open)
            else if (what === 'reset') await world.reset(flag)
            // What drains is not compared, and checks are in no call record.
            else if (what === 'compare' && kind !== 'rate' && counts !== 'checks') await world.compare()
            else if (what === 'restart' && runs % 5 === 0) await restart()
            const { used, reserved } = await world.standing()
            const expected = world.expected()
            expect(used).toBeCloseTo(expected.used, 2)
            expect(reserved).toBe(expected.reserved)
          }
        }),
        { numRuns: 30 },
      )
    })
  })
}
