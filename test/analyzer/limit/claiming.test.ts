import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLivePolicy } from '../../../analyzer/control/live-policy.ts'
import { claimOf } from '../../../analyzer/limit/claiming.ts'
import { createLastKnown } from '../../../analyzer/limit/last-known.ts'
import { createLocalCounters } from '../../../analyzer/limit/local-counters.ts'
import type { Grant } from '../../../analyzer/policy/adjustment.ts'
import { keyOf } from '../../../analyzer/policy/subject.ts'
import { request } from '../../contract/limit-store.ts'
import { testQuota } from '../quotas.ts'

const START_MS = Date.UTC(2026, 10, 21, 12, 59, 50)
const PERIOD_MS = 1_000
const LIMIT = 10
const subject = { consumer: 'web' }
const quota = testQuota({
  ...{ name: 'tokens', per: ['consumer'], unit: 'total_tokens', limit: LIMIT },
  window: { kind: 'rate', everySeconds: PERIOD_MS / 1_000 },
})
const key = keyOf(quota, subject) ?? ''

const units = fc.nat({ max: 30 })
const grantKey = fc.constantFrom('one', 'two')
/** What somebody asks for at run time; null: nothing. */
const wish = fc.oneof(
  fc.constant(null),
  fc.record({ kind: fc.constant('override' as const), limit: fc.option(units) }),
  fc.record({
    ...{ kind: fc.constant('grant' as const), key: grantKey, isForEach: fc.boolean(), amount: units },
    ...{ afterMs: fc.integer({ min: -500, max: 3_000 }), forMs: fc.nat({ max: 3_000 }) },
  }),
  fc.record({ kind: fc.constant('revoke' as const), key: grantKey }),
)
const turns = fc.array(
  fc.record({
    wish,
    seenMs: fc.nat({ max: 900 }),
    waitMs: fc.nat({ max: 3_000 }),
    cost: fc.integer({ min: 1, max: 60 }),
  }),
  { minLength: 1, maxLength: 12 },
)

test('a rate drains at what the limit was at each instant, whatever was granted, revoked and overridden meanwhile', () => {
  fc.assert(
    fc.property(turns, all => {
      const live = createLivePolicy([quota], [])
      const counters = createLocalCounters('test', createLastKnown(), START_MS)
      let override: number | null = null
      const grants = new Map<string, Grant>()
      const limitAt = (atMs: number) =>
        [...grants.values()]
          .filter(({ fromMs, untilMs }) => fromMs <= atMs && atMs < untilMs)
          .reduce((sum, { amount }) => sum + amount, override ?? LIMIT)
      // In units times milliseconds of the period.
      let level = 0
      let nowMs = START_MS
      const waitFor = (ms: number) => {
        for (const untilMs = nowMs + ms; nowMs < untilMs; nowMs += 1) level = Math.max(0, level - limitAt(nowMs))
      }
      const fold = (kind: 'override' | 'grant', name: string, value: unknown) =>
        live.fold({ kind, key: name, version: 1, value, atMs: nowMs })
      const make = (wanted: (typeof all)[number]['wish']) => {
        switch (wanted?.kind) {
          case 'override':
            override = wanted.limit
            return fold('override', 'of web', override === null ? null : { quota: 'tokens', subject, limit: override })
          case 'grant': {
            const fromMs = nowMs + wanted.afterMs
            const one = { quota: 'tokens', amount: wanted.amount, fromMs, untilMs: fromMs + wanted.forMs }
            grants.set(wanted.key, { ...one, subject: wanted.isForEach ? null : subject })
            return fold('grant', wanted.key, grants.get(wanted.key))
          }
          case 'revoke':
            grants.delete(wanted.key)
            return fold('grant', wanted.key, null)
        }
      }
      const spend = (cost: number) => {
        const allowance = live.current().allowance(quota, key, nowMs)
        const claim = { ...claimOf(quota, key, { cost, allowance, nowMs }), isEnforced: false }
        const { used = 0 } = counters.decide(request([claim]), nowMs).standings[0] ?? {}
        level += cost * PERIOD_MS
        expect(used * PERIOD_MS).toBeCloseTo(level, 6)
      }
      spend(40)
      for (const { wish: wanted, seenMs, waitMs, cost } of all) {
        waitFor(waitMs)
        make(wanted)
        waitFor(seenMs)
        spend(cost)
      }
    }),
    { numRuns: 300 },
  )
})

test('for a minute after a window has begun, a check says where its call is counted, though its cost be unknown', () => {
  const policy = createLivePolicy([], []).current()
  const isNoted = (one: typeof quota, nowMs: number) => {
    const allowance = policy.allowance(one, key, nowMs)
    return claimOf(one, key, { cost: 0, allowance, nowMs }).isNoted
  }
  const hourly = testQuota({ ...quota.options, window: { kind: 'fixed', everySeconds: 3_600 } })
  const sliding = testQuota({ ...quota.options, window: { kind: 'sliding', everySeconds: 3_600 } })
  const hourMs = START_MS + 10_000
  expect([0, 59_999, 60_000].map(afterMs => isNoted(hourly, hourMs + afterMs))).toEqual([true, true, false])
  // What slid into the slot before, or drains, counts all the same.
  expect([isNoted(sliding, hourMs), isNoted(quota, hourMs)]).toEqual([false, false])
})

test('a rate that the provider refuses for a while drains on', () => {
  const upstream = testQuota({ ...quota.options, per: ['providerKey'], limit: 'upstream' })
  const live = createLivePolicy([upstream], [])
  const counters = createLocalCounters('test', createLastKnown(), START_MS)
  const untilMs = START_MS + 10 * PERIOD_MS
  const main = { providerKey: 'main' }
  const learned = { quota: 'tokens', subject: main, limit: LIMIT, deniedUntilMs: untilMs, elsewhere: 0, untilMs }
  live.fold({ kind: 'upstream', key: 'of main', version: 1, value: learned })
  const mainKey = keyOf(upstream, main) ?? ''
  const usedAfter = (cost: number, nowMs: number) => {
    const allowance = live.current().allowance(upstream, mainKey, nowMs)
    const claim = claimOf(upstream, mainKey, { cost, allowance, nowMs })
    return counters.decide(request([claim], { verb: 'record' }), nowMs).standings[0]?.used
  }
  expect(usedAfter(100, START_MS)).toBe(100)
  expect(usedAfter(1, START_MS + PERIOD_MS)).toBe(91)
  expect(usedAfter(1, untilMs)).toBe(2)
})
