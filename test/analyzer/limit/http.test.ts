import { afterEach, expect, test } from 'vitest'
import { testQuota } from '../quotas.ts'
import { type DoorWorld, openDoors } from './door-world.ts'

let world: DoorWorld
afterEach(() => world?.close())

test.each([true, false])('a path is the route that its call record will have (quick: %s)', async hasQuick => {
  world = await openDoors({ quotas: [testQuota({ name: 'users', per: ['route'], limit: 2 })], hasQuick })
  const headers = { authorization: 'Bearer gateway', 'content-type': 'application/json' }
  const check = async (route: string) => {
    const body = JSON.stringify({ dimensions: { route } })
    const response = await fetch(`${world.url}/v1/check`, { method: 'POST', headers, body })
    return ((await response.json()) as { allowed: boolean }).allowed
  }
  expect(await check('/v1/users/12?page=1')).toBe(true)
  expect(await check('/v1/users/{id}')).toBe(true)
  expect(await check('/v1/users/13')).toBe(false)
  expect(await check('/v1/users')).toBe(true)
})
