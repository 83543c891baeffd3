import { setTimeout as sleep } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import { LimitStoreError, type RecordEffect } from '../../../../analyzer/limit/limit-store.ts'
import { subjectKey } from '../../../../analyzer/policy/subject.ts'
import { bucketAt } from '../../../../analyzer/usage/window.ts'
import { testQuota } from '../../quotas.ts'
import { type DoorWorld, type DoorWorldOptions, openDoors, START_MS } from '../door-world.ts'
import { descriptor, openClient, type TestClient } from './client.ts'

const [OK, OVER_LIMIT] = [1, 2]
const UNITS = { unknown: 0, minute: 2, hour: 3, month: 5, week: 7 }

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

const web = { tenant: 'acme', consumer: 'web' }
const ask = async (descriptors: object[], fields: object = {}, headers?: Record<string, string>) => {
  const request = { domain: 'edge', descriptors, ...fields }
  const { code, details, message } = await client.call('shouldRateLimit', request, headers && { headers })
  expect([code, details]).toEqual([status.OK, ''])
  return message
}
/** The record of a call has come. */
const settleBy = (effect: Partial<RecordEffect>) =>
  doors.store.applyRecords({
    effects: [
      { reference: null, gateway: 'edge', requestId: null, caller: '', isNameless: false, spends: [], ...effect },
    ],
    checksOnly: new Set(),
    held: new Set(),
    position: { logId: 'log', partition: 0, nextOffset: 1, appliedOffset: 0 },
  })
const requests = testQuota({ name: 'requests', limit: 3 })
const tokens = testQuota({
  name: 'tokens',
  unit: 'total_tokens',
  limit: 100,
  window: { kind: 'calendar', every: 'month' },
})

describe('ShouldRateLimit', () => {
  test('lets calls pass until the quota is used up, and says how much is left of it', async () => {
    await open({ quotas: [requests] })
    for (const left of [2, 1, 0]) {
      const answer = await ask([descriptor(web)])
      expect(answer).toMatchObject({
        overallCode: OK,
        statuses: [
          {
            code: OK,
            currentLimit: { name: 'requests', requestsPerUnit: 3, unit: UNITS.hour },
            limitRemaining: left,
            durationUntilReset: { seconds: 50 * 60 },
          },
        ],
        responseHeadersToAdd: [],
        dynamicMetadata: { fields: { tenant: { stringValue: 'acme' }, consumer: { stringValue: 'web' } } },
      })
      const [id] = answer.requestHeadersToAdd
      expect(id.key).toBe('x-quotacast-decision-id')
      expect(doors.decisionIds.decode(id.value)).not.toBeNull()
    }
    const denied = await ask([descriptor(web)])
    expect(denied).toMatchObject({ overallCode: OVER_LIMIT, statuses: [{ code: OVER_LIMIT, limitRemaining: 0 }] })
    expect(denied.responseHeadersToAdd).toEqual([
      expect.objectContaining({ key: 'retry-after', value: '3000' }),
      expect.objectContaining({ key: 'x-quotacast-denied', value: '429' }),
      expect.objectContaining({ key: 'content-type', value: 'application/problem+json' }),
    ])
    expect(JSON.parse(Buffer.from(denied.rawBody, 'base64').toString())).toMatchObject({
      status: 429,
      'violated-policies': ['requests'],
    })
    doors.setNow(START_MS + 50 * 60_000)
    expect(await ask([descriptor(web)])).toMatchObject({ overallCode: OK })
  })

  test('has a status for each descriptor, in their order, of the quota that concerns it', async () => {
    const model = testQuota({ name: 'model', per: ['model'], limit: 1, window: { kind: 'fixed', everySeconds: 60 } })
    const all = testQuota({ name: 'all', per: [], limit: 50, window: { kind: 'fixed', everySeconds: 7 * 86_400 } })
    await open({ quotas: [requests, model, all] })
    const descriptors = [
      descriptor({ model: 'gpt-5' }),
      descriptor(web),
      descriptor({ generic_key: 'nobody knows it' }),
    ]
    const first = await ask(descriptors)
    expect(first.statuses).toMatchObject([
      { code: OK, currentLimit: { name: 'model', unit: UNITS.minute }, limitRemaining: 0 },
      { code: OK, currentLimit: { name: 'requests' }, limitRemaining: 2 },
      { code: OK, currentLimit: { name: 'all', unit: UNITS.week }, limitRemaining: 49 },
    ])
    const second = await ask(descriptors)
    // Nothing of a denied call is spent.
    expect(second).toMatchObject({
      overallCode: OVER_LIMIT,
      statuses: [
        { code: OVER_LIMIT, currentLimit: { name: 'model' } },
        { code: OK, limitRemaining: 2 },
        { code: OK, limitRemaining: 49 },
      ],
    })
  })

  test('counts a call once in a quota that several of its descriptors concern, and never for nobody', async () => {
    await open({ quotas: [requests] })
    const descriptors = [descriptor(web), descriptor({ ...web, path: '/v1/chat?key=x' }), descriptor({ path: '/' })]
    // And it is shown once, since Envoy lists for the client whatever it is told.
    expect((await ask(descriptors)).statuses).toMatchObject([
      { code: OK, limitRemaining: 2 },
      { code: OK, currentLimit: null },
      { code: OK, currentLimit: null },
    ])
    expect((await ask([descriptor({ path: '/' })], { hitsAddend: 3 })).overallCode).toBe(OK)
    expect((await ask(descriptors)).statuses[0].limitRemaining).toBe(1)
  })

  test('takes hits from the request, and sooner from the descriptor', async () => {
    await open({ quotas: [testQuota({ name: 'requests', limit: 100 })] })
    expect((await ask([descriptor(web)], { hitsAddend: 10 })).statuses[0].limitRemaining).toBe(90)
    expect(
      (await ask([descriptor(web, { hitsAddend: { value: 5 } })], { hitsAddend: 10 })).statuses[0].limitRemaining,
    ).toBe(85)
    // More than a number can hold exactly is more than there can be.
    expect((await ask([descriptor(web, { hitsAddend: { value: '18446744073709551615' } })])).overallCode).toBe(
      OVER_LIMIT,
    )
  })

  test('only looks with 0 hits, gives back with negative ones, never below nothing', async () => {
    await open({ quotas: [requests] })
    const look = () => ask([descriptor(web, { hitsAddend: { value: 0 } })])
    const refund = (value: number) => ask([descriptor(web, { hitsAddend: { value }, isNegativeHits: true })])
    for (const left of [2, 1, 0]) expect((await ask([descriptor(web)])).statuses[0].limitRemaining).toBe(left)
    expect(await look()).toMatchObject({ overallCode: OVER_LIMIT, statuses: [{ limitRemaining: 0 }] })
    expect(await refund(2)).toMatchObject({ overallCode: OK, statuses: [{ code: OK, limitRemaining: 2 }] })
    expect(await look()).toMatchObject({ overallCode: OK, statuses: [{ limitRemaining: 2 }], requestHeadersToAdd: [] })
    await refund(1_000)
    expect((await look()).statuses[0].limitRemaining).toBe(3)
    expect((await ask([descriptor(web)])).statuses[0].limitRemaining).toBe(2)
  })

  test('gives back under no id, so that the record of the call settles its check', async () => {
    await open({
      quotas: [requests],
      limiter: { grpc: { descriptors: { id: { dimension: 'request_id' } } } },
    })
    const hits = (value: number, isNegativeHits: boolean) => [
      descriptor({ ...web, id: 'r-1' }, { hitsAddend: { value }, isNegativeHits }),
    ]
    await ask(hits(3, false))
    expect(await ask(hits(1, true))).toMatchObject({ requestHeadersToAdd: [], statuses: [{ limitRemaining: 1 }] })
    const { startMs, endMs } = bucketAt(requests.window, START_MS)
    const subject = subjectKey(['acme', 'web'])
    const place = { series: requests.series, subject, startMs, endMs, sinceMs: 0 }
    const spend = { ...place, amount: 2, startedAtMs: startMs, isRecordsOnly: false, drain: null }
    await settleBy({ requestId: 'r-1', spends: [spend] })
    expect((await ask(hits(0, false))).statuses[0].limitRemaining).toBe(1)
  })

  test('records what a marked descriptor tells, over the limit too, and looks when it tells nothing', async () => {
    const grpc = { descriptors: { llm_tokens: { unit: 'total_tokens', record: true } } }
    await open({ quotas: [tokens, requests], limiter: { grpc } })
    const marked = (value: number) => [descriptor({ ...web, llm_tokens: 'yes' }, { hitsAddend: { value } })]
    expect(await ask(marked(0))).toMatchObject({ overallCode: OK, statuses: [{ limitRemaining: 100 }] })
    expect(await ask(marked(70))).toMatchObject({
      overallCode: OK,
      statuses: [{ currentLimit: { name: 'tokens', unit: UNITS.month }, limitRemaining: 30 }],
    })
    expect(await ask(marked(70))).toMatchObject({ overallCode: OK, statuses: [{ code: OK, limitRemaining: 0 }] })
    expect(await ask(marked(0))).toMatchObject({ overallCode: OVER_LIMIT })
    // Tokens are no requests, and a call is over the limit of either.
    expect(await ask([descriptor(web)])).toMatchObject({
      overallCode: OVER_LIMIT,
      statuses: [{ currentLimit: { name: 'tokens' } }],
    })
  })

  test('lets go at the end of a call what its check holds, where both tell the id of the call', async () => {
    const held = testQuota({ name: 'held', unit: 'concurrent_requests', limit: 1, window: undefined })
    const descriptors = { id: { dimension: 'request_id' }, spent: { unit: 'total_tokens', record: true } }
    await open({ quotas: [held], limiter: { grpc: { descriptors } } })
    const codeOf = async (id: string, entries = {}) => (await ask([descriptor({ ...web, id, ...entries })])).overallCode
    expect([await codeOf('r-1'), await codeOf('r-2')]).toEqual([OK, OVER_LIMIT])
    expect(await codeOf('r-1', { spent: 'yes' })).toBe(OK)
    await expect.poll(() => codeOf('r-2')).toBe(OK)
    expect(await codeOf('r-3')).toBe(OVER_LIMIT)
  })

  describe('at the end of a call that its check holds', () => {
    const held = testQuota({ name: 'held', unit: 'concurrent_requests', limit: 1, window: undefined })
    const descriptors = { id: { dimension: 'request_id' }, spent: { unit: 'total_tokens', record: true } }
    const hits = (id: string, entries: object, value: number, isNegativeHits = false) =>
      descriptor({ ...web, id, ...entries }, { hitsAddend: { value }, isNegativeHits })
    const codeOf = async (...all: object[]) => (await ask(all)).overallCode
    const begin = (id: string) => codeOf(hits(id, {}, 1))

    test.each([
      ['a record of nothing', (id: string) => hits(id, { spent: 'yes' }, 0)],
      ['a request given back', (id: string) => hits(id, {}, 1, true)],
    ])('%s lets it go', async (_what, end) => {
      await open({ quotas: [held], limiter: { grpc: { descriptors } } })
      expect([await begin('r-1'), await begin('r-2')]).toEqual([OK, OVER_LIMIT])
      for (const id of ['r-2', 'r-1']) await codeOf(end(id))
      await expect.poll(() => begin('r-2')).toBe(OK)
      expect(await begin('r-3')).toBe(OVER_LIMIT)
    })

    test('what is given back in another unit does not', async () => {
      await open({
        quotas: [held, tokens],
        limiter: { grpc: { descriptors: { ...descriptors, spent: { unit: 'total_tokens' } } } },
      })
      await begin('r-1')
      await codeOf(hits('r-1', { spent: 'yes' }, 5, true))
      await sleep(1_000)
      expect(await begin('r-2')).toBe(OVER_LIMIT)
    })

    test.each([0, 30])(
      'a record of %i beside the check does not, and the record of the call settles both',
      async spent => {
        await open({ quotas: [held, requests, tokens], limiter: { grpc: { descriptors } } })
        expect(await codeOf(hits('r-1', {}, 1), hits('r-1', { spent: 'yes' }, spent))).toBe(OK)
        await sleep(1_000)
        expect(await begin('r-2')).toBe(OVER_LIMIT)
        const { startMs, endMs } = bucketAt(tokens.window, START_MS)
        const place = { series: tokens.series, subject: subjectKey(['acme', 'web']), startMs, endMs, sinceMs: 0 }
        const spend = { ...place, amount: 30, startedAtMs: startMs, isRecordsOnly: false, drain: null }
        await settleBy({ requestId: 'r-1', spends: [spend] })
        expect((await ask([hits('r-9', { spent: 'yes' }, 0)])).statuses).toMatchObject([{ limitRemaining: 70 }])
      },
    )
  })

  test('keeps numbers within their types, and knows no unit for windows that have none', async () => {
    const odd = { kind: 'fixed', everySeconds: 77 }
    await open({ quotas: [testQuota({ name: 'vast', limit: 2 ** 40, window: odd })] })
    expect(await ask([descriptor(web)])).toMatchObject({
      statuses: [{ currentLimit: { requestsPerUnit: 2 ** 32 - 1, unit: UNITS.unknown }, limitRemaining: 2 ** 32 - 1 }],
    })
  })

  test('never denies for a shadow quota', async () => {
    await open({ quotas: [testQuota({ name: 'shadow', limit: 0, enforcement: 'shadow' })] })
    expect(await ask([descriptor(web)])).toMatchObject({
      overallCode: OK,
      statuses: [{ code: OK, currentLimit: null }],
    })
  })

  test.each([1_000, null])('shows the limit that a provider said before it refused: %s', async limit => {
    const key = testQuota({ name: 'key', per: ['providerKey'], limit: 'upstream' })
    const said = { quota: 'key', subject: { providerKey: '' }, limit, elsewhere: 0, untilMs: START_MS }
    await open({ quotas: [key], adjustments: { learned: [{ ...said, deniedUntilMs: START_MS + 5_000 }] } })
    expect(await ask([descriptor(web)])).toMatchObject({
      overallCode: OVER_LIMIT,
      statuses: [{ code: OVER_LIMIT, currentLimit: limit === null ? null : { requestsPerUnit: limit } }],
    })
  })

  test('tells limits in headers instead, where config says so', async () => {
    await open({ quotas: [requests], limiter: { grpc: { limitsIn: 'headers' }, legacyHeaders: true } })
    const answer = await ask([descriptor(web)])
    expect(answer.statuses).toMatchObject([{ code: OK, currentLimit: null }])
    const headers = answer.responseHeadersToAdd.map(({ key, value }: Record<string, string>) => [key, value])
    expect(Object.fromEntries(headers)).toEqual({
      ratelimit: '"requests";r=2;t=3000',
      'ratelimit-policy': expect.stringContaining('"requests";q=3;w=3600'),
      'x-ratelimit-limit': '3',
      'x-ratelimit-remaining': '2',
      'x-ratelimit-reset': '3000',
    })
  })

  test('reads dimensions and labels as config says, the first descriptor first', async () => {
    const team = testQuota({ name: 'team', per: ['team', 'route'], limit: 1 }, ['team'])
    const descriptors = { header_match: { dimension: 'team' }, uri: { dimension: 'route' } }
    await open({ quotas: [team], labelColumns: ['team'], limiter: { grpc: { descriptors } } })
    const of = (name: string, uri: string) => [
      descriptor({ header_match: name, uri }),
      descriptor({ header_match: 'z' }),
    ]
    expect((await ask(of('a', '/users/4711?x'))).overallCode).toBe(OK)
    expect((await ask(of('a', '/users/4712'))).overallCode).toBe(OVER_LIMIT)
    expect((await ask(of('b', '/users/4712'))).overallCode).toBe(OK)
  })

  test('knows nothing by an empty value: no dimension, and no id that would make one call of many', async () => {
    const model = testQuota({ name: 'model', per: ['model'], limit: 1 })
    const descriptors = { id: { dimension: 'request_id' }, spent: { unit: 'total_tokens', record: true } }
    await open({ quotas: [model, tokens], limiter: { grpc: { descriptors } } })
    const unnamed = descriptor({ ...web, id: '', model: '' })
    expect((await ask([unnamed, descriptor({ model: 'gpt-5' })])).overallCode).toBe(OK)
    expect((await ask([descriptor({ model: 'gpt-5' })])).overallCode).toBe(OVER_LIMIT)
    const [id] = (await ask([unnamed])).requestHeadersToAdd
    const tell = (value: number) => ask([descriptor({ ...web, id: '', spent: 'yes' }, { hitsAddend: { value } })])
    await tell(60)
    await settleBy({ reference: doors.decisionIds.decode(id.value) })
    expect((await tell(0)).statuses[0].limitRemaining).toBe(40)
  })

  test('knows the route by all of a path', async () => {
    await open({ quotas: [testQuota({ name: 'route', per: ['route'], limit: 1 })] })
    const long = `/files/${'4711'.repeat(200)}`
    for (const path of [`${long}/pages`, `${long}/words`])
      expect((await ask([descriptor({ path })])).overallCode).toBe(OK)
  })

  test('answers for all descriptors at once while the store is away, as the quotas say', async () => {
    let isAway = false
    const denying = testQuota({ name: 'denying', onStoreFailure: 'deny' })
    await open({
      quotas: [denying],
      wrap: store => ({
        ...store,
        decideAtOnce: null,
        decide: request =>
          isAway ? Promise.reject(new LimitStoreError('LIMITS_UNAVAILABLE', 'away')) : store.decide(request),
      }),
    })
    isAway = true
    expect(await ask([descriptor(web), descriptor({ path: '/' })])).toMatchObject({
      overallCode: OVER_LIMIT,
      statuses: [{ code: OVER_LIMIT }, { code: OVER_LIMIT }],
    })
  })

  test('refuses those who are blocked, whose key is unknown, or whose tenant is another one', async () => {
    const block = { what: 'consumer', value: 'web', untilMs: null } as const
    await open({
      quotas: [requests],
      keys: [{ ids: ['k-1'], consumer: 'known', tenant: 'acme' }],
      adjustments: { blocks: [block] },
      limiter: { callers: { rateLimitService: { unknownKeys: 'deny' } } },
    })
    expect((await ask([descriptor(web)])).overallCode).toBe(OVER_LIMIT)
    expect((await ask([descriptor({ tenant: 'acme', consumer: 'k-1' })])).overallCode).toBe(OK)
    for (const entries of [{ credential: 'sk-1234567890abcdefghijkl' }, { path: '/' }]) {
      expect(await ask([descriptor(entries)])).toMatchObject({
        overallCode: OVER_LIMIT,
        statuses: [{ code: OVER_LIMIT }],
      })
    }
    const other = [descriptor({ tenant: 'other', consumer: 'web' })]
    expect((await ask(other, {}, { 'x-quotacast-token': 'acme' })).overallCode).toBe(OVER_LIMIT)
    expect((await ask([descriptor({ consumer: 'k-1' })], {}, { 'x-quotacast-token': 'acme' })).overallCode).toBe(OK)
  })
})

describe("Kuadrant's service", () => {
  test('checks without spending, and reports what was spent', async () => {
    await open({ quotas: [tokens] })
    const request = { domain: 'ns/llm', descriptors: [descriptor(web)] }
    const check = async () => (await client.call('checkRateLimit', request)).message.overallCode
    for (let turn = 0; turn < 3; turn += 1) expect(await check()).toBe(OK)
    const report = await client.call('report', { ...request, hitsAddend: 120 })
    expect(report).toMatchObject({ code: status.OK, message: { overallCode: OK } })
    expect(await check()).toBe(OVER_LIMIT)
  })
})
