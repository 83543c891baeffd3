import { afterEach, expect, test } from 'vitest'
import type { CheckAnswer } from '../../../analyzer/limit/http.ts'
import { createIdentity } from '../../../collector/identity.ts'
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

test.each([true, false])(
  'a raw key for a provider key or a label is its fingerprint, as in call records (quick: %s)',
  async hasQuick => {
    const raw = 'sk-proj-a1b2c3d4e5f6g7h8i9j0'
    const mark = createIdentity({ fingerprintKeys: ['f'.repeat(32)], keys: [] }).fingerprint(raw)
    const quotas = [
      testQuota({ name: 'of-keys', per: ['providerKey'] }),
      testQuota({ name: 'of-apps', per: ['app'] }, ['app']),
    ]
    world = await openDoors({ quotas, labelColumns: ['app'], hasQuick })
    const headers = { 'x-quotacast-token': 'gateway', 'content-type': 'application/json' }
    const used = async (key: string) => {
      const body = JSON.stringify({ dimensions: { providerKey: key, app: key } })
      const answer = await fetch(`${world.url}/v1/check`, { method: 'POST', headers, body })
      return ((await answer.json()) as CheckAnswer).quotas.map(quota => quota.used)
    }
    await fetch(`${world.url}/v1/auth`, { headers: { ...headers, 'x-quotacast-provider-key': raw } })
    expect([await used(raw), await used(mark)]).toEqual([
      [2, 1],
      [3, 2],
    ])
  },
)
