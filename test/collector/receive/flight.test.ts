import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createFlight, createTurns } from '../../../collector/receive/flight.ts'

test('requests have room up to the bound, one alone always', () => {
  const flight = createFlight(100)
  const [first, second] = [{}, {}]
  expect(flight.enter(first, 500)).toBe(true)
  expect(flight.enter(second, 1)).toBe(false)
  flight.leave(first)
  expect(flight.enter(second, 60)).toBe(true)
  expect(flight.enter(first, 40)).toBe(true)
})

test('a request grows where there is room, and alone without end', () => {
  const flight = createFlight(100)
  const [first, second] = [{}, {}]
  expect(flight.enter(first, 10) && flight.enter(second, 10)).toBe(true)
  expect(flight.grow(first, 81)).toBe(false)
  expect(flight.grow(first, 80)).toBe(true)
  flight.leave(first)
  expect(flight.grow(second, 1000)).toBe(true)
})

test('a request that has left takes nothing any more', () => {
  const flight = createFlight(100)
  const gone = {}
  flight.enter(gone, 10)
  flight.leave(gone)
  expect(flight.grow(gone, 1000)).toBe(false)
  expect(flight.enter({}, 50) && flight.enter({}, 50)).toBe(true)
})

test('turns are taken in order, as many at once as may', async () => {
  const inTurn = createTurns(2)
  let running = 0
  let most = 0
  const order: number[] = []
  const act = (index: number) =>
    inTurn(async () => {
      order.push(index)
      most = Math.max(most, ++running)
      await sleep(1)
      running--
      if (index === 3) throw new Error('this one fails')
    })
  const outcomes = await Promise.allSettled(Array.from({ length: 9 }, (_, index) => act(index)))
  expect(most).toBe(2)
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  expect(outcomes.map(({ status }) => status).filter(status => status === 'rejected')).toHaveLength(1)
})
