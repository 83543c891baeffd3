import { expect, test } from 'vitest'
import { AS_IT_IS, conditionsOf, STEPS_MAX } from '../../../dashboards/console/wish.ts'

test('what is asked about is up to four times as much, and never more than a limit can be', () => {
  const most = { limitSteps: STEPS_MAX, growthSteps: STEPS_MAX }
  expect(conditionsOf(AS_IT_IS, 100)).toEqual({ limit: 100, growth: 1 })
  expect(conditionsOf(most, 100)).toEqual({ limit: 400, growth: 4 })
  expect(conditionsOf(most, 9e15)).toEqual({ limit: Number.MAX_SAFE_INTEGER, growth: 4 })
  expect([conditionsOf(most, 0).limit, conditionsOf(most, null).limit]).toEqual([0, null])
})
