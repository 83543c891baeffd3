import { status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import { createIdentity } from '../../../../collector/identity.ts'
import { testQuota } from '../../quotas.ts'
import { type DoorWorld, type DoorWorldOptions, openDoors } from '../door-world.ts'
import { openClient, type TestClient } from './client.ts'

let doors: DoorWorld
let client: TestClient
afterEach(async () => {
  client.close()
  await doors.close()
})
async function open(options: DoorWorldOptions) {
  doors = await openDoors(options)
  client = openClient(doors.grpcPort)
}

const SECRET = 'sk-proj-1234567890abcdefghij'
const requests = testQuota({ name: 'requests', limit: 2 })

const check = async (http: object, contextExtensions: Record<string, string> = {}, token = 'gateway') => {
  const source = { address: { socketAddress: { address: '203.0.113.9', portValue: 4711 } } }
  const attributes = { source, request: { http }, contextExtensions }
  const { code, message } = await client.call('check', { attributes }, { headers: { 'x-quotacast-token': token } })
  expect(code).toBe(status.OK)
  return message
}
const headersOf = (options: { header: { key: string; value: string } }[]) =>
  Object.fromEntries(options.map(({ header }) => [header.key, header.value]))

describe('Check', () => {
  test('lets calls pass with the id for the upstream and the limits for the client, then answers 429', async () => {
    await open({ quotas: [requests] })
    const call = { method: 'POST', path: '/v1/chat?key=x', headers: { 'x-request-id': 'r-1' } }
    const context = { tenant: 'acme', consumer: 'web' }
    for (const left of [1, 0]) {
      const { status: told, okResponse } = await check(call, context)
      expect(told.code).toBe(0)
      expect(doors.decisionIds.decode(headersOf(okResponse.headers)['x-quotacast-decision-id'] ?? '')).not.toBeNull()
      expect(headersOf(okResponse.responseHeadersToAdd)).toMatchObject({ ratelimit: `"requests";r=${left};t=3000` })
    }
    const { status: told, deniedResponse } = await check(call, context)
    expect(told.code).toBe(status.RESOURCE_EXHAUSTED)
    expect(deniedResponse.status.code).toBe(429)
    expect(headersOf(deniedResponse.headers)).toMatchObject({
      'retry-after': '3000',
      ratelimit: '"requests";r=0;t=3000',
      'content-type': 'application/problem+json',
    })
    expect(JSON.parse(deniedResponse.body)).toMatchObject({ status: 429, 'violated-policies': ['requests'] })
  })

  test("tells Envoy's log who calls, whether or not the call may pass", async () => {
    await open({ quotas: [testQuota({ name: 'requests', limit: 1 })] })
    const context = { tenant: 'acme', consumer: 'w\u00e9b' }
    const fields = { tenant: { stringValue: 'acme' }, consumer: { stringValue: 'w\u00e9b' } }
    for (const code of [status.OK, status.RESOURCE_EXHAUSTED])
      expect(await check({}, context)).toMatchObject({ status: { code }, dynamicMetadata: { fields } })
  })

  test("takes the caller's credential from its headers, however Envoy writes them, and no name", async () => {
    await open({ quotas: [requests] })
    const consumer = createIdentity({ fingerprintKeys: ['f'.repeat(32)], keys: [] }).fingerprint(SECRET)
    const names = { 'x-quotacast-consumer': 'root', 'x-quotacast-tenant': 'root' }
    await check({ headers: { authorization: `Bearer ${SECRET}`, ...names } }, { tenant: 'acme' })
    const rawValue = Buffer.from(SECRET)
    await check({ headerMap: { headers: [{ key: 'x-api-key', rawValue }] } }, { tenant: 'acme' })
    expect((await check({}, { tenant: 'acme', consumer })).status.code).toBe(status.RESOURCE_EXHAUSTED)
  })

  test('knows a caller by the first of several credentials, which Envoy joins, else by one that is known', async () => {
    const marks = createIdentity({ fingerprintKeys: ['f'.repeat(32)], keys: [] })
    const keys = [{ ids: [marks.fingerprint('known')], consumer: 'web' }]
    await open({ quotas: [requests], keys })
    const consumerOf = async (headers: object) => (await check({ headers })).dynamicMetadata.fields.consumer.stringValue
    expect(await consumerOf({ authorization: `Bearer ${SECRET},Bearer another` })).toBe(marks.fingerprint(SECRET))
    expect(await consumerOf({ authorization: 'Bearer another', 'x-api-key': 'another,known' })).toBe('web')
  })

  test('knows the route by the path, other dimensions by the context, and the address of the client', async () => {
    const route = testQuota({ name: 'route', per: ['route', 'service'], limit: 1 })
    const block = { what: 'address', value: '203.0.113.0/24', untilMs: null } as const
    await open({ quotas: [route] })
    const codes = []
    for (const [path, service] of [
      ['/users/4711?x', 'a'],
      ['/users/4712', 'a'],
      ['/users/4712', 'b'],
    ]) {
      codes.push((await check({ path }, { service: service ?? '' })).status.code)
    }
    expect(codes).toEqual([0, status.RESOURCE_EXHAUSTED, 0])
    await doors.close()
    client.close()
    await open({ quotas: [], adjustments: { blocks: [block] } })
    expect((await check({ path: '/' })).deniedResponse.status.code).toBe(403)
  })

  test('refuses unknown keys with 401 and other tenants with 403, where config and token say so', async () => {
    await open({ quotas: [requests], limiter: { callers: { extAuthz: { unknownKeys: 'deny' } } } })
    const unknown = await check({ headers: { authorization: `Bearer ${SECRET}` } })
    expect([unknown.status.code, unknown.deniedResponse.status.code]).toEqual([status.UNAUTHENTICATED, 401])
    const other = await check({}, { tenant: 'other', consumer: 'web' }, 'acme')
    expect([other.status.code, other.deniedResponse.status.code]).toEqual([status.PERMISSION_DENIED, 403])
  })
  test('takes the token from the context where Envoy sends none', async () => {
    await open({ quotas: [requests] })
    const answerTo = async (contextExtensions: Record<string, string>, headers: Record<string, string> = {}) => {
      const { code, details, message } = await client.call('check', { attributes: { contextExtensions } }, { headers })
      return [code, code === status.OK ? message.status.code : details]
    }
    const asked = { tenant: 'acme', consumer: 'web' }
    expect(await answerTo({ ...asked, 'x-quotacast-token': 'acme' })).toEqual([status.OK, 0])
    const foreign = { tenant: 'other', 'x-quotacast-token': 'acme' }
    expect(await answerTo(foreign)).toEqual([status.OK, status.PERMISSION_DENIED])
    const lacking = 'A token is needed, as the metadata or the context extension x-quotacast-token.'
    expect(await answerTo(asked)).toEqual([status.UNAUTHENTICATED, lacking])
    for (const [token, code] of [
      ['stranger', status.UNAUTHENTICATED],
      ['reader', status.PERMISSION_DENIED],
    ] as const)
      expect((await answerTo({ ...asked, 'x-quotacast-token': token }))[0]).toBe(code)
    // Its own metadata has the last word.
    const both = { ...asked, 'x-quotacast-token': 'gateway' }
    expect((await answerTo(both, { 'x-quotacast-token': 'stranger' }))[0]).toBe(status.UNAUTHENTICATED)
  })
})
