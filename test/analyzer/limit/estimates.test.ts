import { expect, test } from 'vitest'
import { createEstimates, type Kind } from '../../../analyzer/limit/estimates.ts'
import { callDimensions } from '../quotas.ts'

const kind = (fields: Partial<Kind> = {}): Kind =>
  callDimensions({ consumer: 'web', model: 'large', route: '/chat', ...fields })
const known = (cost = {}, maxTokens: number | null = null) => ({ cost, maxTokens })

/** Calls of 100 to 199 tokens in and 10 to 19 out. */
function learned(of: Kind = kind()) {
  const estimates = createEstimates({ quantile: 0.6 })
  for (let call = 0; call < 500; call += 1) {
    const [input, output] = [100 + ((call * 37) % 100), 10 + ((call * 7) % 10)]
    estimates.learn(of, { input_tokens: input, output_tokens: output, total_tokens: input + output })
  }
  return estimates
}

test('what is not stated is a quantile of what such calls cost', () => {
  const { input_tokens, output_tokens, total_tokens, cost } = learned().estimate(kind(), known())
  expect(input_tokens).toBeGreaterThan(150)
  expect(input_tokens).toBeLessThan(170)
  expect(output_tokens).toBeGreaterThan(14)
  expect(output_tokens).toBeLessThan(18)
  expect(total_tokens).toBeGreaterThan(165)
  expect(total_tokens).toBeLessThan(185)
  expect(cost).toBeUndefined()
})

test('calls of the same consumer and model tell of a new route, those of the tenant of a new consumer, no other tenant', () => {
  const estimates = learned()
  const expected = estimates.estimate(kind(), known())
  for (const other of [{ route: '/new' }, { consumer: 'new' }, { model: 'new', consumer: 'new' }]) {
    expect(estimates.estimate(kind(other), known())).toEqual(expected)
  }
  expect(estimates.estimate(kind({ tenant: 'other' }), known())).toEqual({})
})

test('few calls of its own do not tell, more do', () => {
  const estimates = learned()
  const own = kind({ consumer: 'own' })
  const learn = () => estimates.learn(own, { output_tokens: 900 })
  for (let call = 0; call < 10; call += 1) learn()
  expect(estimates.estimate(own, known()).output_tokens).toBeLessThan(20)
  for (let call = 0; call < 20; call += 1) learn()
  expect(estimates.estimate(own, known()).output_tokens).toBeGreaterThan(800)
})

test('what may be generated is never estimated above the limit of the call, nor all tokens above the input and that', () => {
  const estimates = learned()
  expect(estimates.estimate(kind(), known({}, 12)).output_tokens).toBe(12)
  expect(estimates.estimate(kind(), known({ input_tokens: 5_000 }, 12))).toMatchObject({ total_tokens: 5_012 })
  const { input_tokens: input = 0, total_tokens: total = 0 } = estimates.estimate(kind(), known({}, 1))
  expect(total).toBeLessThanOrEqual(input + 1)
})

test('of a stated part the total is that and the estimate of the other; what is stated is not estimated', () => {
  const estimate = learned().estimate(kind(), known({ input_tokens: 5_000 }))
  expect(estimate.total_tokens).toBe(5_000 + (estimate.output_tokens ?? 0))
  expect(estimate.input_tokens).toBeUndefined()
  expect(learned().estimate(kind(), known({ total_tokens: 7 })).total_tokens).toBeUndefined()
})

test('where nothing is known the most that may be generated holds', () => {
  const estimates = createEstimates({ quantile: 0.6 })
  expect(estimates.estimate(kind(), known())).toEqual({})
  expect(estimates.estimate(kind(), known({ input_tokens: 40 }, 60))).toEqual({ output_tokens: 60, total_tokens: 100 })
})

test('overruns are measured against what would have been estimated, the cold start left out', () => {
  const { calls, overran } = learned().counts()
  // Of 500 calls in three units the first ones, twenty by weight, had nothing to be compared with.
  expect(calls).toBe(479)
  expect(overran / calls).toBeGreaterThan(0.35)
  expect(overran / calls).toBeLessThan(0.45)
})

test('the share of calls that fit is known of estimated units, and denials add up', () => {
  const estimates = learned()
  expect(estimates.shareUpTo(kind(), {}, 'input_tokens', 150)).toBeCloseTo(0.5, 1)
  expect(estimates.shareUpTo(kind(), { input_tokens: 5_000 }, 'total_tokens', 5_015)).toBeCloseTo(0.5, 1)
  expect(estimates.shareUpTo(kind(), {}, 'cost', 150)).toBeNull()
  estimates.denied(0.25)
  estimates.denied(1)
  expect(estimates.counts()).toMatchObject({ denials: 2, needless: 1.25 })
})

test('kinds that were not seen for long make room', () => {
  const estimates = createEstimates({ quantile: 0.6 })
  for (let consumer = 0; consumer < 30_000; consumer += 1) {
    estimates.learn(kind({ consumer: `c${consumer}` }), { bytes: 1 })
  }
  expect(estimates.kinds()).toBeLessThanOrEqual(20_000)
  expect(estimates.estimate(kind({ consumer: 'c1' }), known()).bytes).toBe(2)
})

test('of more kinds than there is room for, as many as have a place are known well', () => {
  const estimates = createEstimates({ quantile: 0.6 })
  const consumers = Array.from({ length: 15_000 }, (_, index) => ({ name: `c${index}`, bytes: 1_000 + 10 * index }))
  for (let round = 0; round < 30; round += 1) {
    for (const { name, bytes } of consumers) estimates.learn(kind({ consumer: name }), { bytes })
  }
  const isKnown = ({ name, bytes }: (typeof consumers)[number]) => {
    const { bytes: estimated = 0 } = estimates.estimate(kind({ consumer: name }), known())
    return Math.abs(estimated / bytes - 1) < 0.1
  }
  expect(consumers.filter(isKnown).length).toBeGreaterThan(4_000)
  expect(estimates.kinds()).toBeLessThanOrEqual(10_000)
})

test('a kind that is seen often gets a place among many that are not', () => {
  const estimates = createEstimates({ quantile: 0.6 })
  for (let call = 0; call < 60_000; call += 1) {
    estimates.learn(kind({ consumer: `c${call}` }), { bytes: 1 })
    if (call > 30_000 && call % 100 === 0) estimates.learn(kind({ consumer: 'often' }), { bytes: 1_000 })
  }
  expect(estimates.estimate(kind({ consumer: 'often' }), known()).bytes).toBeGreaterThan(900)
})
