import { expect, test } from 'vitest'
import { createEstimates } from '../../../analyzer/limit/estimates.ts'
import { startLearning } from '../../../analyzer/limit/learning.ts'
import type { CallCosts } from '../../../analyzer/usage/costs.ts'
import { callDimensions } from '../quotas.ts'
import { callRecord, silent } from './call-records.ts'

const kind = callDimensions({ consumer: 'web' })
const wanted = { cost: {}, maxTokens: null }
const deps = { nowMs: Date.now, readOnMs: null, logger: silent }

test('begins with what the store holds of the last day', async () => {
  const estimates = createEstimates({ quantile: 0.5 })
  const asked: { unit: string; hours: number }[] = []
  const learning = startLearning({
    ...deps,
    estimates,
    async readCosts(unit, { fromMs, toMs }, handle) {
      asked.push({ unit, hours: Math.round((toMs - fromMs) / 3_600_000) })
      const costs: CallCosts = { tenant: 'acme', consumer: 'web', model: '', route: '', amount: 64, calls: 40 }
      if (unit === 'output_tokens') handle(costs)
    },
  })
  await expect.poll(() => estimates.estimate(kind, wanted)).toEqual({ output_tokens: 67, total_tokens: 67 })
  await learning.close()
  expect(asked).toContainEqual({ unit: 'cost', hours: 24 })
})

test('goes on without the store: known costs of call records are learned, unknown ones are not small', async () => {
  const estimates = createEstimates({ quantile: 0.5 })
  const learning = startLearning({
    ...deps,
    estimates,
    async readCosts(_unit, _minutes, handle) {
      handle({ tenant: 'acme', consumer: 'web', model: '', route: '', amount: 1e6, calls: 1_000 })
      throw new Error('away')
    },
  })
  for (let call = 0; call < 50; call += 1) {
    learning.learn(callRecord({ consumer: 'web', inputTokens: null, totalTokens: 100 }))
    learning.learn(callRecord({ consumer: 'web', totalTokens: 9_000, outcome: 'limited' }))
  }
  await learning.close()
  const { total_tokens: total = 0, ...others } = estimates.estimate(kind, wanted)
  expect(total).toBeGreaterThan(95)
  expect(total).toBeLessThan(106)
  expect(others).toEqual({})
})

test('without records it reads on, each minute of the calls once and when they have ended', async () => {
  const estimates = createEstimates({ quantile: 0.5 })
  const read: { fromMs: number; toMs: number }[] = []
  let nowMs = Date.UTC(2026, 10, 21, 12, 10, 30)
  let attempts = 0
  const learning = startLearning({
    ...deps,
    readOnMs: 1,
    nowMs: () => nowMs,
    estimates,
    async readCosts(unit, minutes, handle) {
      if (unit !== 'total_tokens') return
      nowMs += 40_000
      attempts += 1
      if (attempts === 3) throw new Error('away')
      read.push(minutes)
      if (read.length === 4) handle({ tenant: 'acme', consumer: 'web', model: '', route: '', amount: 64, calls: 40 })
    },
  })
  await expect.poll(() => estimates.estimate(kind, wanted)).toEqual({ total_tokens: 67 })
  await learning.close()
  expect(read[0]?.toMs).toBe(Date.UTC(2026, 10, 21, 12, 5))
  for (const [index, { fromMs }] of read.slice(1).entries()) expect(fromMs).toBe(read[index]?.toMs)
})
