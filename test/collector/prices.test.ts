import { expect, test } from 'vitest'
import { createPrices, type PricedCall } from '../../collector/prices.ts'

const call = (fields: Partial<PricedCall>): PricedCall => ({
  provider: 'openai',
  model: 'gpt-5',
  outcome: 'ok',
  inputTokens: null,
  cachedInputTokens: null,
  outputTokens: null,
  ...fields,
})
const prices = createPrices([
  {
    provider: 'openai',
    model: 'gpt-5',
    inputPerMillionTokens: 1.25,
    cachedInputPerMillionTokens: 0.125,
    outputPerMillionTokens: 10,
  },
  { provider: 'openai', model: 'text-embedding-*', inputPerMillionTokens: 0.02 },
  { provider: 'search', perCall: 0.005 },
])

test('a call costs its tokens, cached ones at their own price', () => {
  expect(prices.costMicros(call({ inputTokens: 1000, outputTokens: 100 }))).toBe(1250 + 1000)
  expect(prices.costMicros(call({ inputTokens: 1000, cachedInputTokens: 800, outputTokens: 100 }))).toBe(
    250 + 100 + 1000,
  )
})

test('unknown counts of what has a price make an unknown cost', () => {
  expect(prices.costMicros(call({ inputTokens: 1000 }))).toBeNull()
  expect(prices.costMicros(call({ outputTokens: 1000 }))).toBeNull()
  expect(prices.costMicros(call({ model: 'text-embedding-3', inputTokens: 1_000_000 }))).toBe(20_000)
})

test('what no price fits is unknown, not free', () => {
  expect(prices.costMicros(call({ model: 'gpt-5-mini', inputTokens: 1, outputTokens: 1 }))).toBeNull()
  expect(prices.costMicros(call({ provider: null, inputTokens: 1, outputTokens: 1 }))).toBeNull()
  expect(createPrices([]).costMicros(call({ inputTokens: 1, outputTokens: 1 }))).toBeNull()
})

test('a price per call needs no tokens, and a limited call reached nobody', () => {
  expect(prices.costMicros(call({ provider: 'search', model: null }))).toBe(5000)
  expect(prices.costMicros(call({ provider: 'search', model: null, outcome: 'limited' }))).toBe(0)
})

test('the first entry that fits holds, also from memory', () => {
  const ordered = createPrices([{ model: 'a', perCall: 1 }, { perCall: 2 }])
  for (const _ of [1, 2]) {
    expect(ordered.costMicros(call({ model: 'a' }))).toBe(1_000_000)
    expect(ordered.costMicros(call({ model: 'b' }))).toBe(2_000_000)
  }
})
