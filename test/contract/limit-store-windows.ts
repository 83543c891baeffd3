/** The promises of `LimitStore` about what has no reset: sliding windows, rates, and what is held. Every adapter's test calls it. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Claim, Drain, LimitStore, RecordEffect } from '../../analyzer/limit/limit-store.ts'
import { claim, effect, type LimitStoreHarness, positionAfter, request, spend } from './limit-store.ts'

const START_MS = Date.UTC(2026, 10, 21, 12)
const SLOT_MS = 1_000
const LENGTH_MS = 4_000
const slots = { everyMs: SLOT_MS, lengthMs: LENGTH_MS }
/** Three units in 700 ms: no unit drains in whole milliseconds. */
const PERIOD_MS = 700
const drain: Drain = { amount: 3, periodMs: PERIOD_MS, keptMs: 10_000 }

/** A wait, then a cost; 0 is one that is not known. */
const asks = (waitMs: number) =>
  fc.array(fc.record({ waitMs: fc.nat({ max: waitMs }), cost: fc.nat({ max: 5 }) }), { minLength: 5, maxLength: 40 })

export function describeLimitStoreWindows(name: string, prepare: () => Promise<LimitStoreHarness>): void {
  describe(name, () => {
    let harness: LimitStoreHarness
    let store: LimitStore
    let nowMs: number
    let run = 0
    let offset: number
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
    const ask = async (one: Claim, fields: Parameters<typeof request>[1] = {}) => {
      const { isAllowed, reference, standings } = await store.decide(request([one], fields))
      const [standing] = standings
      if (standing === undefined) throw new Error('expected a standing')
      return { isAllowed, reference, ...standing }
    }
    const look = (one: Claim) => ask({ ...one, isEnforced: false }, { isDryRun: true })
    const spent = async (one: Claim, fields: Parameters<typeof request>[1] = {}) => {
      const { reference } = await ask(one, fields)
      if (reference === null) throw new Error('expected the decision to spend')
      return reference
    }
    const apply = (effects: RecordEffect[]) => {
      offset += effects.length
      return store.applyRecords({ effects, checksOnly: new Set(), held: new Set(), position: positionAfter(offset) })
    }
    /** Denied until the instant that was told, and allowed then. */
    const fitsExactlyAt = async (one: Claim, atMs: number) => {
      nowMs = atMs - 1
      expect(await ask(one)).toMatchObject({ isAllowed: false, fitsAtMs: atMs })
      nowMs = atMs
      expect((await ask(one, { isDryRun: true })).isAllowed).toBe(true)
    }

    describe('sliding windows', () => {
      const sliding = (fields: Partial<Claim> = {}) => claim({ series: 'sliding', limit: 10, slots, ...fields })
      /** Where a call that began then is counted. */
      const slotAt = (atMs: number) => {
        const startMs = Math.floor(atMs / SLOT_MS) * SLOT_MS
        return { series: 'sliding', startMs, endMs: startMs + SLOT_MS + LENGTH_MS }
      }

      test('are never over the limit in any interval, and at most a slot too strict; the wait is exact', async () => {
        await fc.assert(
          fc.asyncProperty(asks(900), async steps => {
            run += 1
            nowMs += 60_000
            const subject = `run ${run}`
            const admitted: { atMs: number; cost: number }[] = []
            const within = (lengthMs: number) =>
              admitted.filter(({ atMs }) => atMs > nowMs - lengthMs).reduce((sum, { cost }) => sum + cost, 0)
            for (const { waitMs, cost } of steps) {
              nowMs += waitMs
              const one = sliding({ subject, cost })
              const { isAllowed, fitsAtMs } = await ask(one)
              if (isAllowed) {
                expect(within(LENGTH_MS) + cost).toBeLessThanOrEqual(10)
                admitted.push({ atMs: nowMs, cost })
              } else {
                expect(within(LENGTH_MS + SLOT_MS) + Math.max(1, cost)).toBeGreaterThan(10)
                await fitsExactlyAt(one, fitsAtMs ?? 0)
              }
            }
          }),
          { numRuns: 25 },
        )
      })

      test('hold for 64 callers at once, whichever slot they believe to be in', async () => {
        const answers = await Promise.all(
          Array.from({ length: 64 }, (_, index) => ask(sliding(slotAt(nowMs + (index % 3) * SLOT_MS)))),
        )
        expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(10)
      })

      test('count a record in the slot in which its call began, with its check or without one', async () => {
        const reference = await spent(sliding({ cost: 4 }))
        const began = slotAt(nowMs)
        nowMs += 2 * SLOT_MS
        await apply([
          effect(6, { reference, spends: [spend(6, began)] }),
          effect(3, { spends: [spend(3, slotAt(nowMs))] }),
        ])
        expect((await look(sliding())).used).toBe(9)
        nowMs = began.endMs
        expect((await look(sliding())).used).toBe(3)
        await apply([effect(5, { spends: [spend(5, began)] })])
        expect((await look(sliding())).used).toBe(3)
      })

      test('give back what a slot held when it counts no more', async () => {
        await spent(sliding({ cost: 8 }), { verb: 'reserve', expiresAtMs: nowMs + 60_000 })
        expect(await look(sliding({ cost: 3 }))).toMatchObject({
          reserved: 8,
          fits: false,
          fitsAtMs: slotAt(nowMs).endMs,
        })
        await fitsExactlyAt(sliding({ cost: 3 }), slotAt(nowMs).endMs)
      })

      test('take a refund out of the slots in which it was spent, the latest first, and no more than that', async () => {
        await spent(sliding({ cost: 3 }))
        nowMs += SLOT_MS
        await spent(sliding({ cost: 4 }))
        await spent(sliding({ cost: 2 }), { gateway: 'nginx' })
        nowMs += SLOT_MS
        const giveBack = (cost: number) => ask(sliding({ cost: -cost }), { verb: 'record' })
        expect(await giveBack(5)).toMatchObject({ used: 4 })
        await restart()
        expect(await look(sliding({ cost: 7 }))).toMatchObject({ used: 4, fits: false })
        await giveBack(100)
        expect((await look(sliding())).used).toBe(2)
        await spent(sliding({ cost: 8 }))
        expect((await look(sliding())).used).toBe(10)
      })

      test('forget what was used before a reset, to the unit', async () => {
        await spent(sliding({ cost: 3 }))
        nowMs += SLOT_MS
        await spent(sliding({ cost: 5 }))
        nowMs += 300
        const afterwards = sliding({ cost: 9, sinceMs: nowMs })
        expect(await look(afterwards)).toMatchObject({ used: 0, fits: true })
        await spent(afterwards)
        expect(await look(afterwards)).toMatchObject({ used: 9, fits: false, fitsAtMs: slotAt(nowMs).endMs })
      })

      test('outlive a restart, and are forgotten slot by slot', async () => {
        await spent(sliding({ cost: 3 }))
        nowMs += SLOT_MS
        await spent(sliding({ cost: 4 }))
        await restart()
        expect((await look(sliding())).used).toBe(7)
        expect(store.bucketCount()).toBe(2)
        nowMs += LENGTH_MS
        expect((await look(sliding())).used).toBe(4)
        await expect.poll(() => store.bucketCount()).toBe(1)
      })

      test('never fit what is over the limit', async () => {
        expect(await ask(sliding({ cost: 11 }))).toMatchObject({ isAllowed: false, fitsAtMs: null })
        expect(await ask(sliding({ cost: 0, limit: 0 }))).toMatchObject({ isAllowed: false, fitsAtMs: null })
      })
    })

    describe('rates', () => {
      const rate = (fields: Partial<Claim> = {}) => claim({ series: 'rate', limit: 5, drain, ...fields })
      const cost = (amount: number) => spend(amount, { series: 'rate', drain })

      test('let pass what a leaky bucket does, and tell the wait exactly', async () => {
        await fc.assert(
          fc.asyncProperty(asks(600), async steps => {
            run += 1
            nowMs += 60_000
            const subject = `run ${run}`
            // Units times 700, of which three drain each millisecond.
            let level = 0
            let atMs = nowMs
            const drainUntil = (untilMs: number) => {
              level = Math.max(0, level - (untilMs - atMs) * drain.amount)
              atMs = untilMs
            }
            for (const { waitMs, cost: amount } of steps) {
              nowMs += waitMs
              drainUntil(nowMs)
              const one = rate({ subject, cost: amount })
              const { isAllowed, used, fitsAtMs } = await ask(one)
              const room = 5 * PERIOD_MS - level
              expect(isAllowed).toBe(amount === 0 ? room > 0 : amount * PERIOD_MS <= room)
              if (isAllowed) level += amount * PERIOD_MS
              expect(used * PERIOD_MS).toBeCloseTo(level, 6)
              if (isAllowed) continue
              await fitsExactlyAt(one, fitsAtMs ?? 0)
              drainUntil(nowMs)
            }
          }),
          { numRuns: 25 },
        )
      })

      test('spend the difference when the true cost comes, however much has drained, and never count it twice', async () => {
        const reference = await spent(rate({ cost: 3 }))
        nowMs += PERIOD_MS
        expect((await look(rate())).used).toBe(0)
        await apply([effect(3, { reference, spends: [cost(3)] })])
        expect((await look(rate())).used).toBe(0)
        const second = await spent(rate({ cost: 2 }))
        nowMs += PERIOD_MS / 7
        await store.settle(second, [cost(4)])
        expect((await look(rate())).used).toBeCloseTo(4 - 3 / 7, 9)
        expect(await store.settle(second, [cost(4)])).toBe('already_settled')
        await apply([effect(4, { reference: second, spends: [cost(4)] })])
        expect((await look(rate())).used).toBeCloseTo(4 - 3 / 7, 9)
      })

      test('hold what is held until its end and no longer, however often they were taken along', async () => {
        const hold = { verb: 'reserve', expiresAtMs: nowMs + 55_000, note: '{}' } as const
        const swept = async () => {
          await spent(claim({ series: 'another' }), { ...hold, expiresAtMs: nowMs })
          await expect.poll(() => store.reservations(null, 10)).toHaveLength(2)
        }
        const first = await spent(rate({ cost: 2 }), hold)
        await spent(rate({ cost: 1 }), hold)
        for (let turn = 0; turn < 4; turn += 1) {
          nowMs += 10_000
          expect((await ask(rate({ cost: 2 }))).isAllowed).toBe(true)
          expect((await ask(rate({ cost: 1 }))).isAllowed).toBe(false)
          await swept()
        }
        await restart()
        await store.settle(first, [cost(2)])
        expect((await look(rate())).reserved).toBe(1)
        nowMs += 20_000
        await expect.poll(async () => (await look(rate())).reserved).toBe(0)
        expect((await ask(rate({ cost: 5 }))).isAllowed).toBe(true)
      })

      test('never give more back than is there', async () => {
        const first = await spent(rate({ cost: 3 }))
        nowMs += PERIOD_MS
        await spent(rate({ cost: 2 }))
        await store.release(first)
        expect((await look(rate())).used).toBe(0)
        expect((await ask(rate({ cost: 5 }))).isAllowed).toBe(true)
        expect((await ask(rate({ cost: 1 }))).isAllowed).toBe(false)
      })

      test('of a gateway that hands no id on count the larger of checks and records', async () => {
        await spent(rate({ cost: 3 }))
        await apply([effect(2, { spends: [cost(2)] })])
        expect((await look(rate())).used).toBe(3)
        await apply([effect(2, { spends: [cost(2)] })])
        expect((await look(rate())).used).toBe(4)
      })

      test('hold what is reserved, and drain only what is spent', async () => {
        const reference = await spent(rate({ cost: 4 }), { verb: 'reserve', expiresAtMs: nowMs + 60_000 })
        nowMs += PERIOD_MS
        expect(await look(rate({ cost: 2 }))).toMatchObject({ used: 0, reserved: 4, fits: false, fitsAtMs: null })
        await store.settle(reference, [cost(1)])
        expect(await look(rate())).toMatchObject({ used: 1, reserved: 0 })
      })

      test('go on as they were through restarts and stretches, and are forgotten when idle for long', async () => {
        const { keptMs } = drain
        // In thirds of a stretch, so that some are taken along and some are not.
        const references = []
        for (let turn = 0; turn < 7; turn += 1) {
          references.push(await spent(rate({ cost: 1, limit: 100, drain: { ...drain, amount: 0 } })))
          nowMs += Math.ceil(keptMs / 3)
          if (turn === 4) await restart()
        }
        const idle = rate({ limit: 100, drain: { ...drain, amount: 0 } })
        expect((await look(idle)).used).toBe(7)
        // Charged in the stretch before this one.
        await store.release(references[5] ?? { epoch: 0, sequence: 0, charges: [] })
        expect((await look(idle)).used).toBe(6)
        nowMs += 2 * keptMs
        expect((await look(idle)).used).toBe(0)
        await expect.poll(() => store.bucketCount()).toBe(0)
      })

      test('are known for as many stretches as are told, and a wait is no longer than that', async () => {
        const { keptMs } = drain
        const slow = { ...drain, amount: 1, periodMs: keptMs, stretches: 4 }
        const forgottenAtMs = (Math.floor(nowMs / keptMs) + 5) * keptMs
        const reference = await spent(rate({ cost: 9, limit: 9, drain: slow }))
        nowMs += 3 * keptMs
        await restart()
        const large = rate({ cost: 9, limit: 9, drain: slow })
        expect(await look(large)).toMatchObject({ used: 6, fits: false, fitsAtMs: forgottenAtMs })
        expect((await look({ ...large, cost: 4 })).fitsAtMs).toBe(nowMs + keptMs)
        await store.settle(reference, [{ ...cost(8), drain: slow }])
        expect((await look(large)).used).toBe(5)
      })

      test('hold a changed limit at once, and keep what was used', async () => {
        await spent(rate({ cost: 5 }))
        nowMs += 70
        const slower = { ...drain, amount: 1 }
        expect((await look(rate({ drain: slower }))).used).toBeCloseTo(4.9, 9)
        expect((await look(rate())).used).toBeCloseTo(4.7, 9)
        expect(await look(rate({ limit: 8, cost: 3 }))).toMatchObject({ fits: true })
        expect(await look(rate({ limit: 0, cost: 1, drain: { ...drain, amount: 0 } }))).toMatchObject({
          ...{ fits: false, fitsAtMs: null },
        })
      })

      describe('that change', () => {
        type Steps = NonNullable<Drain['steps']>
        const changes = fc.array(fc.record({ forMs: fc.integer({ min: 1, max: 900 }), amount: fc.nat({ max: 9 }) }), {
          minLength: 2,
          maxLength: 6,
        })
        const stepsFrom = (fromMs: number, changed: readonly { forMs: number; amount: number }[]): Steps => {
          let atMs = fromMs
          return changed.map(({ forMs, amount }) => {
            const step = [atMs, amount] as const
            atMs += forMs
            return step
          })
        }
        const amountAt = (steps: Steps, atMs: number) => steps.findLast(([fromMs]) => fromMs <= atMs)?.[1] ?? 0
        const passed = (steps: Steps) => steps.filter(([fromMs]) => fromMs <= nowMs)

        const all = { toldOf: (steps: Steps) => steps, isEachSeen: false }
        const past = { toldOf: passed, isEachSeen: false }
        const last = { toldOf: (steps: Steps) => passed(steps).slice(-1), isEachSeen: true }
        for (const [name, { toldOf, isEachSeen }] of Object.entries({ all, past, last })) {
          test(`drain at each rate for as long as it holds: ${name} told`, async () => {
            await fc.assert(
              fc.asyncProperty(changes, asks(700), async (changed, wanted) => {
                run += 1
                nowMs += 60_000
                const subject = `run ${run}`
                const steps = stepsFrom(nowMs, changed)
                // Millisecond by millisecond, in units times 700.
                let level = 0
                let atMs = nowMs
                const spendAt = async (untilMs: number, amount: number) => {
                  for (; atMs < untilMs; atMs += 1) level = Math.max(0, level - amountAt(steps, atMs))
                  level += amount * PERIOD_MS
                  nowMs = untilMs
                  const told = { ...drain, amount: amountAt(steps, nowMs), steps: toldOf(steps) }
                  const { used } = await ask(rate({ subject, limit: 1_000, cost: amount, drain: told }))
                  expect(used * PERIOD_MS).toBeCloseTo(level, 6)
                }
                let dueMs = nowMs
                const due = [{ waitMs: 0, cost: 20 }, ...wanted].map(({ waitMs, cost: amount }) => {
                  dueMs += waitMs
                  return { dueMs, amount }
                })
                for (const [fromMs] of isEachSeen ? steps : []) due.push({ dueMs: fromMs, amount: 1 })
                for (const one of due.toSorted((a, b) => a.dueMs - b.dueMs)) await spendAt(one.dueMs, one.amount)
              }),
              { numRuns: 25 },
            )
          })
        }

        test('do so when a cost is taken out, too, and through a restart and into another stretch', async () => {
          const { keptMs } = drain
          nowMs += keptMs - 2 * PERIOD_MS
          const steps: Steps = [
            [nowMs, 9],
            [nowMs + PERIOD_MS, 1],
          ]
          const ending = { ...drain, amount: 9, steps }
          await spent(rate({ limit: 100, cost: 20, drain: ending }))
          const released = await spent(rate({ limit: 100, cost: 30, drain: ending }))
          await restart()
          nowMs += 3 * PERIOD_MS
          await store.release(released)
          const after = rate({ limit: 100, cost: 2, drain: { ...drain, amount: 1, steps: steps.slice(1) } })
          expect((await look(after)).used).toBe(50 - 9 - 2 - 30)
          expect((await ask(after)).used).toBe(50 - 9 - 2 - 30 + 2)
          nowMs += PERIOD_MS
          await restart()
          expect((await look(after)).used).toBe(50 - 9 - 2 - 30 + 2 - 1)
        })
      })

      test('forget what was used before a reset', async () => {
        await spent(rate({ cost: 5 }))
        const reset = rate({ cost: 4, sinceMs: nowMs })
        expect(await look(reset)).toMatchObject({ used: 0, fits: true })
        await spent(reset)
        expect((await look(reset)).used).toBe(4)
      })

      test('forget it also when they are told of the reset a stretch later, and go on without it', async () => {
        const idle = { limit: 100, drain: { ...drain, amount: 0 } }
        const [first, second] = [await spent(rate({ ...idle, cost: 5 })), await spent(rate({ ...idle, cost: 6 }))]
        const later = { ...idle, sinceMs: nowMs + 1 }
        nowMs += drain.keptMs
        expect((await look(rate(later))).used).toBe(0)
        await spent(rate({ ...later, cost: 4 }))
        await store.release(first)
        nowMs += drain.keptMs
        await spent(rate({ ...later, cost: 3 }))
        await restart()
        await store.release(second)
        expect((await look(rate(later))).used).toBe(7)
      })
    })

    describe('what is held', () => {
      const dayMs = 86_400_000
      const held = (fields: Partial<Claim> = {}) =>
        claim({
          series: 'held',
          limit: 3,
          isHeld: true,
          slots: { ...slots, everyMs: dayMs, lengthMs: dayMs },
          ...fields,
        })
      const hold = (fields = {}) => spent(held(), { expiresAtMs: nowMs + 60_000, ...fields })
      const inFlight = async () => {
        const { used, reserved } = await look(held())
        expect(used).toBe(0)
        return reserved
      }

      test('by checks is given back by whoever tells that the call has ended, once', async () => {
        const [byRecord, byCaller, released] = [await hold(), await hold(), await hold()]
        expect(await ask(held())).toMatchObject({ isAllowed: false })
        const ended = effect(0, { reference: byRecord, spends: [] })
        await apply([ended, ended])
        await store.settle(byCaller, [])
        await store.release(released)
        await store.release(released)
        expect(await inFlight()).toBe(0)
        await hold({ requestId: 'r1' })
        await restart()
        expect(await inFlight()).toBe(1)
        await apply([effect(0, { requestId: 'r1', spends: [] })])
        expect(await inFlight()).toBe(0)
      })

      test('is given back after the clock was set back by hours, and not when it has caught up', async () => {
        await hold()
        nowMs -= dayMs / 12
        await hold()
        await expect.poll(inFlight).toBe(1)
        nowMs += 60_001
        await expect.poll(inFlight).toBe(0)
      })

      test('leaves what the same check has spent elsewhere to its record, also when it has expired', async () => {
        const { reference } = await store.decide(request([held(), claim({ cost: 50 })], { expiresAtMs: nowMs + 1_000 }))
        expect([await inFlight(), (await look(claim())).used]).toEqual([1, 50])
        nowMs += 1_001
        await expect.poll(inFlight).toBe(0)
        expect((await look(claim())).used).toBe(50)
        await apply([effect(80, { reference, spends: [spend(80)] })])
        expect([await inFlight(), (await look(claim())).used]).toEqual([0, 80])
      })

      test('by a check ends when its call tells what it took, and the record of the call settles that all the same', async () => {
        await hold({ requestId: 'r1' })
        await hold({ requestId: 'r2' })
        await store.decide(request([claim({ cost: 20 })], { verb: 'record', requestId: 'r1' }))
        await expect.poll(inFlight).toBe(1)
        await restart()
        await apply([effect(30, { requestId: 'r1' })])
        expect([await inFlight(), (await look(claim())).used]).toEqual([1, 30])
      })

      test('by a check ends when its call has ended and tells nothing, and goes on where more is told meanwhile', async () => {
        await hold({ requestId: 'r1' })
        await hold({ requestId: 'r2' })
        const tell = (requestId: string, claims: Claim[], expiresAtMs: number | null) =>
          store.decide(request(claims, { verb: 'record', requestId, expiresAtMs }))
        await tell('r2', [claim({ cost: 20 })], nowMs + 60_000)
        await tell('r1', [], null)
        await expect.poll(inFlight).toBe(1)
        // Of nobody's check: its record is one that no check foretold.
        await tell('r3', [], null)
        expect(await apply([effect(30, { requestId: 'r3' }), effect(25, { requestId: 'r2' })])).toMatchObject({
          linked: 1,
          unlinked: 1,
        })
        expect([await inFlight(), (await look(claim())).used]).toEqual([0, 55])
      })

      test('stays held over midnight, and what is recorded afterwards was never held', async () => {
        nowMs = START_MS + dayMs / 2 - 1
        const reference = await hold()
        nowMs += 2
        await hold()
        expect(await inFlight()).toBe(2)
        await store.decide(request([held()], { verb: 'record' }))
        expect(await inFlight()).toBe(2)
        await store.release(reference)
        expect(await inFlight()).toBe(1)
      })

      test('is never more than the limit under 64 callers at once', async () => {
        const answers = await Promise.all(
          Array.from({ length: 64 }, () => ask(held(), { expiresAtMs: nowMs + 60_000 })),
        )
        expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(3)
      })
    })
  })
}
