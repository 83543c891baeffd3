import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startSchedule } from '../../../analyzer/tick/schedule.ts'

test('ticks follow each other and never overlap, even when they take longer than their turn', async () => {
  let running = 0
  let ticks = 0
  const schedule = startSchedule(5, async () => {
    expect(++running).toBe(1)
    await setTimeout(15)
    running--
    ticks++
    return true
  })
  await expect.poll(() => ticks).toBeGreaterThan(2)
  await schedule.close()
  expect(running).toBe(0)
  const before = ticks
  await setTimeout(40)
  expect(ticks).toBe(before)
})

test('closing waits for the tick under way', async () => {
  let isDone = false
  const schedule = startSchedule(1000, async () => {
    await setTimeout(20)
    isDone = true
    return true
  })
  await schedule.close()
  expect(isDone).toBe(true)
})

test('a tick that could not be done is tried again sooner than its turn', async () => {
  let ticks = 0
  const schedule = startSchedule(60_000, async () => ++ticks > 1)
  await expect.poll(() => ticks).toBe(2)
  await schedule.close()
})
