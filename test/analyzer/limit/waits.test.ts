/** Whatever quotas there are and whatever was asked before: the wait that is told is true, and what is explained is what is decided. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { explain } from '../../../analyzer/limit/explaining.ts'
import { noDimensions } from '../../../analyzer/limit/http.ts'
import { createLastKnown } from '../../../analyzer/limit/last-known.ts'
import type { LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { type Ask, createLimiter } from '../../../analyzer/limit/limiter.ts'
import { createLocalCounters } from '../../../analyzer/limit/local-counters.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { testQuota } from '../quotas.ts'
import { silent } from './call-records.ts'

/** Half an hour before a day of 25 hours begins in Berlin. */
const START_MS = Date.UTC(2026, 9, 24, 21, 30)
const HOUR_MS = 3_600_000
const subject = { consumer: 'web' }

const window = fc.constantFrom(
  { kind: 'fixed', everySeconds: 60 },
  { kind: 'fixed', everySeconds: 3600 },
  { kind: 'sliding', everySeconds: 11, slots: 7 },
  { kind: 'sliding', everySeconds: 600, slots: 10 },
  { kind: 'rate', everySeconds: 10 },
  { kind: 'rate', everySeconds: 600, burst: 3 },
  { kind: 'rate', everySeconds: 7200, burst: 30 },
  { kind: 'calendar', every: 'day', timezone: 'Europe/Berlin' },
)
const limit = fc.nat({ max: 20 })
const enforcement = fc.constantFrom('deny', 'deny', 'shadow')
const options = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ unit: fc.constantFrom('requests', 'total_tokens'), limit, window, enforcement }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      unit: fc.constant('concurrent_requests'),
      ...{ limit: fc.nat({ max: 3 }), window: fc.constant(undefined), enforcement },
      reservation: fc.record({ ttlSeconds: fc.constantFrom(1, 30, 600) }),
    }),
  },
)
const grant = fc.record({
  quota: fc.constantFrom('q0', 'q1', 'q2'),
  subject: fc.constantFrom(subject, null),
  amount: fc.nat({ max: 15 }),
  untilMs: fc.integer({ min: START_MS, max: START_MS + 3 * HOUR_MS }),
})
const tokens = fc.nat({ max: 12 })
const step = fc.record({ verb: fc.constantFrom('check', 'check', 'record'), tokens, waitMs: fc.nat({ max: 40_000 }) })
const life = fc.record({
  options: fc.array(options, { minLength: 1, maxLength: 3 }),
  grants: fc.array(grant, { maxLength: 3 }),
  override: fc.option(limit),
  steps: fc.array(step, { minLength: 1, maxLength: 12 }),
  tokens,
})

type Life = typeof life extends fc.Arbitrary<infer T> ? T : never

const askOf = (total_tokens: number): Ask => ({
  dims: { ...noDimensions(), consumer: 'web' },
  cost: total_tokens > 0 ? { total_tokens } : {},
  ...{ clientIp: null, requestId: null, isDryRun: false },
})

test('a denied call passes after the wait that it was told, and never where it was told none', async () => {
  const past = async ({ options: wanted, grants, override, steps, tokens: asked }: Life) => {
    let nowMs = START_MS
    const counters = createLocalCounters('alone', createLastKnown(), START_MS)
    const store = {
      nowMs: () => nowMs,
      decideAtOnce: request => counters.decide(request, nowMs),
    } as Partial<LimitStore>
    const policy = createPolicy(
      wanted.map((one, index) => testQuota({ ...one, name: `q${index}`, per: ['consumer'] })),
      {
        ...NO_ADJUSTMENTS,
        grants: grants.map(one => ({ ...one, fromMs: 0 })),
        overrides: override === null ? [] : [{ quota: 'q1', subject, limit: override }],
      },
    )
    const limiter = createLimiter({
      policy: () => policy,
      store: store as LimitStore,
      summing: { count: () => undefined, handOn: async () => undefined, close: async () => undefined },
      ...{ asOfMs: atMs => atMs, nameOf: String, onCheck: () => undefined, logger: silent },
    })
    for (const { verb, tokens: cost, waitMs } of steps) {
      const prepared = limiter.prepare(askOf(cost))
      await (verb === 'check' ? limiter.check(prepared) : limiter.record(prepared))
      nowMs += waitMs
    }
    const look = async () => {
      const prepared = limiter.prepare(askOf(asked))
      const decision = await limiter.look(prepared)
      return { decision, explained: explain(prepared, decision, policy), prepared }
    }
    const { decision, explained, prepared } = await look()
    const misfits = explained.quotas.filter(({ fits }, index) => !fits && prepared.claims[index]?.isEnforced)
    expect(misfits.map(({ quota }) => quota)).toEqual(decision.violated)
    if (decision.isAllowed) return
    const { retryAfterMs } = decision
    nowMs += retryAfterMs ?? 40 * 24 * HOUR_MS
    expect((await look()).decision.isAllowed).toBe(retryAfterMs !== null)
  }
  await fc.assert(fc.asyncProperty(life, past), { numRuns: 300 })
})
