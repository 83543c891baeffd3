import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { DecisionReference } from '../../../analyzer/limit/limit-store.ts'
import { createDeciding } from '../../../analyzer/limit/redis-deciding.ts'
import { createSeen } from '../../../analyzer/limit/redis-seen.ts'
import { claim, request } from '../../contract/limit-store.ts'

/** What the script answers: epoch and buckets, then one allowed decision of one claim for each sequence. */
const allowed = (...sequences: number[]) => {
  const numbers = [7, 1, ...sequences.flatMap(sequence => [1, sequence, 1, 0, 1, 0, 3, 4, 0])]
  const answer = Buffer.alloc(numbers.length * 8)
  for (const [index, number] of numbers.entries()) answer.writeDoubleLE(number, index * 8)
  return answer
}

const setUp = (run: (calls: number) => Promise<Buffer>) => {
  const givenBack: DecisionReference[] = []
  const sizes: number[] = []
  const deciding = createDeciding({
    deadlineMs: 20,
    nowMs: () => 0,
    seen: createSeen(),
    run: requests => {
      sizes.push(JSON.parse(requests)[2].length)
      return run(sizes.length)
    },
    giveBack: reference => givenBack.push(reference),
    onBucketCount: () => undefined,
  })
  return { deciding, givenBack, sizes }
}

test('what is asked in one turn travels together, so many at a time', async () => {
  const sequences = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index)
  const { deciding, sizes } = setUp(async call => allowed(...(call === 1 ? sequences(1, 64) : sequences(65, 6))))
  const answers = await Promise.all(sequences(1, 70).map(() => deciding.decide(request([claim()]))))
  expect(sizes).toEqual([64, 6])
  expect(answers.map(({ reference }) => reference?.sequence)).toEqual(sequences(1, 70))
})

const turn = () => new Promise(resolve => setImmediate(resolve))

test('while a call is under way, what is asked is gathered until it is answered, or for a millisecond', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const calls = Array.from({ length: 4 }, () => Promise.withResolvers<Buffer>())
  const { deciding, sizes } = setUp(call => calls[call - 1]?.promise ?? Promise.reject())
  const asked: Promise<unknown>[] = []
  const ask = async (count: number) => {
    for (let index = 0; index < count; index += 1) asked.push(deciding.decide(request([claim()])))
    await turn()
  }
  for (const count of [1, 2, 3]) await ask(count)
  expect(sizes).toEqual([1])
  calls[0]?.resolve(allowed(1))
  await turn()
  expect(sizes).toEqual([1, 5])
  await ask(4)
  expect(sizes).toEqual([1, 5])
  vi.advanceTimersByTime(1)
  expect(sizes).toEqual([1, 5, 4])
  for (const [index, size] of sizes.entries()) {
    calls[index]?.resolve(allowed(...Array.from({ length: size }, (_, at) => at + 1)))
  }
  await Promise.all(asked)
})

test('what was spent for a caller who has gone is given back, and nobody is sent after an overdue call', async () => {
  const { promise: late, resolve } = Promise.withResolvers<Buffer>()
  const { deciding, givenBack, sizes } = setUp(call => (call === 1 ? late : Promise.resolve(allowed(2))))
  await expect(deciding.decide(request([claim()]))).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
  expect(deciding.isOverdue()).toBe(true)
  await expect(deciding.decide(request([claim()]))).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
  expect(sizes).toHaveLength(1)
  resolve(allowed(1))
  await sleep(0)
  const charge = { window: 3, bucket: 4, share: 0, amount: 1, isHeld: false }
  expect(givenBack).toEqual([{ epoch: 7, sequence: 1, charges: [charge] }])
  expect(deciding.isOverdue()).toBe(false)
  expect((await deciding.decide(request([claim()]))).reference?.sequence).toBe(2)
})

test('an empty answer is a refusal of all', async () => {
  const { deciding } = setUp(async () => Buffer.alloc(0))
  await expect(deciding.decide(request([claim()]))).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
})
