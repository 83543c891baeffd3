import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLastKnown } from '../../../analyzer/limit/last-known.ts'
import type { Claim } from '../../../analyzer/limit/limit-store.ts'
import { createLocalCounters } from '../../../analyzer/limit/local-counters.ts'
import { claim, request } from '../../contract/limit-store.ts'

const HOUR_MS = 3_600_000
const NOW_MS = Date.UTC(2026, 10, 21, 12, 10)
const LIMIT = 1_000
const slots = { everyMs: 60_000, lengthMs: 32 * 60_000 }
const drain = { amount: LIMIT, periodMs: HOUR_MS, keptMs: 2 * HOUR_MS }
const startMs = Math.floor(NOW_MS / HOUR_MS) * HOUR_MS
const KINDS: Record<string, Partial<Claim>> = {
  window: {},
  sliding: { slots, startMs: Math.floor(NOW_MS / 60_000) * 60_000 },
  rate: { drain, startMs: Math.floor(NOW_MS / drain.keptMs) * drain.keptMs },
}
const claimOf = (kind: string, cost: number) =>
  claim({ startMs, endMs: startMs + HOUR_MS, limit: LIMIT, cost, ...KINDS[kind] })
const standing = (used: number, reserved: number) => ({ used, reserved, fits: true, fitsAtMs: null })
const units = fc.integer({ min: 1, max: 300 })

test('whatever is asked, no more passes than was left, and all of it is handed over once', () => {
  const kinds = fc.constantFrom(...Object.keys(KINDS))
  const asks = fc.array(fc.record({ cost: units, gateway: fc.constantFrom('kong', 'envoy', '') }), { maxLength: 40 })
  fc.assert(
    fc.property(kinds, fc.nat(LIMIT + 100), fc.nat(200), asks, (kind, used, reserved, wanted) => {
      const lastKnown = createLastKnown()
      lastKnown.note(claimOf(kind, 0), standing(used, reserved), { atMs: NOW_MS, heldUntilMs: NOW_MS + HOUR_MS })
      const counters = createLocalCounters('alone', lastKnown, NOW_MS)
      let passed = 0
      for (const { cost, gateway } of wanted) {
        const { isAllowed, standings } = counters.decide(request([claimOf(kind, cost)], { gateway }), NOW_MS)
        expect(standings[0]?.overshootMax).toBe(Math.max(0, LIMIT - used - reserved))
        // Nobody is refused while there is room.
        expect(isAllowed).toBe(used + reserved + passed + cost <= LIMIT)
        if (isAllowed) passed += cost
      }
      expect(passed).toBeLessThanOrEqual(Math.max(0, LIMIT - used - reserved))
      let handed = 0
      for (let step = counters.handOver(NOW_MS); step !== null; step = counters.handOver(NOW_MS)) {
        // One that failed is tried again under its id, with the same costs.
        expect(counters.handOver(NOW_MS)).toBe(step)
        handed += step.additions.reduce((sum, { amount }) => sum + amount, 0)
        step.done()
      }
      expect(handed).toBe(passed)
    }),
  )
})

test('what a rate takes along into a new stretch of time is handed over once', () => {
  const counters = createLocalCounters('alone', createLastKnown(), NOW_MS)
  const untilMs = (Math.floor(NOW_MS / drain.keptMs) + 1) * drain.keptMs
  for (const atMs of [untilMs - 1_000, untilMs + 1_000]) {
    const wanted = { ...claimOf('rate', 100), startMs: Math.floor(atMs / drain.keptMs) * drain.keptMs }
    expect(counters.decide(request([wanted]), atMs).isAllowed).toBe(true)
  }
  const added = counters.handOver(untilMs + 1_000)?.additions.reduce((sum, { amount }) => sum + amount, 0)
  expect(added).toBe(200)
})

test('what is held counts until it must have ended', () => {
  const lastKnown = createLastKnown()
  lastKnown.note(claimOf('window', 0), standing(0, LIMIT), { atMs: NOW_MS, heldUntilMs: NOW_MS + 60_000 })
  const counters = createLocalCounters('alone', lastKnown, NOW_MS)
  const ask = (atMs: number) => counters.decide(request([claimOf('window', 1)]), atMs).isAllowed
  expect([ask(NOW_MS), ask(NOW_MS + 59_000), ask(NOW_MS + 61_000)]).toEqual([false, false, true])
})

test('what is held for long counts until its end, though what came later holds nothing', () => {
  const lastKnown = createLastKnown()
  const note = (reserved: number, forMs: number) =>
    lastKnown.note(claimOf('window', 0), standing(0, reserved), { atMs: NOW_MS, heldUntilMs: NOW_MS + forMs })
  note(LIMIT, HOUR_MS)
  note(0, 60_000)
  note(LIMIT, 600_000)
  note(LIMIT, 60_000)
  const counters = createLocalCounters('alone', lastKnown, NOW_MS)
  const ask = (atMs: number) => counters.decide(request([claimOf('window', 1)]), NOW_MS + atMs).isAllowed
  expect([ask(0), ask(61_000), ask(599_000), ask(601_000)]).toEqual([false, false, false, true])
})

test("what was known of another window, or has drained, is in nobody's way", () => {
  const lastKnown = createLastKnown()
  const at = { atMs: NOW_MS - HOUR_MS, heldUntilMs: 0 }
  for (const kind of Object.keys(KINDS)) {
    const earlier = { ...claimOf(kind, 0), startMs: claimOf(kind, 0).startMs - HOUR_MS }
    lastKnown.note(earlier, standing(LIMIT, 0), at)
    const counters = createLocalCounters('alone', lastKnown, NOW_MS)
    expect(counters.decide(request([claimOf(kind, LIMIT)]), NOW_MS).isAllowed).toBe(true)
  }
})

test('the buckets asked for longest ago are forgotten first', () => {
  const lastKnown = createLastKnown(2)
  const of = (subject: string) => ({ ...claimOf('window', 0), subject })
  for (const subject of ['a', 'b', 'c', 'd', 'c', 'e']) {
    lastKnown.note(of(subject), standing(1, 0), { atMs: NOW_MS, heldUntilMs: 0 })
  }
  const isKnown = (subject: string) => lastKnown.find(of(subject), NOW_MS) !== null
  expect(['a', 'b', 'c', 'd', 'e'].map(isKnown)).toEqual([false, false, true, true, true])
})
