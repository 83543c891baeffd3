import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import type { RecordEffect } from '../../../analyzer/limit/limit-store.ts'
import { callDimensions } from '../quotas.ts'
import { quota } from './call-records.ts'
import { openReserving, type Reserving, START_MS } from './reserving.ts'

const RESERVATIONS = '/v1/reservations'
const SETTLE = '/v1/reservations/settle'
const RELEASE = '/v1/reservations/release'
const MINUTE_MS = 60_000

const tokens = quota({ name: 'tokens', limit: 1_000 })
const requests = quota({ name: 'requests', unit: 'requests', limit: 10, reservation: { ttlSeconds: 300 } })
const web = { tenant: 'acme', consumer: 'web' }

let opened: Reserving
afterEach(() => opened?.close())

/** What is used and held of each quota by calls of the consumer. */
async function standings(): Promise<Record<string, [used: number, reserved: number]>> {
  const { body } = await opened.get('/v1/explain?tenant=acme&consumer=web')
  const quotas: { quota: string; used: number; reserved: number }[] = body.quotas
  return Object.fromEntries(quotas.map(({ quota: name, used, reserved }) => [name, [used, reserved]]))
}
const reserve = async (fields: object = {}) => (await opened.post(RESERVATIONS, { ...web, ...fields })).body
const settle = async (id: string, cost: object = {}) => (await opened.post(SETTLE, { id, cost })).body.outcome
const release = async (id: string) => (await opened.post(RELEASE, { id })).body.outcome

/** Lets the settler's part happen: the record of the reservation's call. */
const applyRecord = (id: string, amount: number) => applyEffect({ reference: opened.decisionIds.decode(id) }, amount)
async function applyEffect(effect: Partial<RecordEffect>, amount: number) {
  const startMs = Math.floor(START_MS / 3_600_000) * 3_600_000
  const spend = { series: tokens.series, subject: 'web', startMs, endMs: startMs + 3_600_000 }
  const spends = [{ ...spend, amount, startedAtMs: START_MS, isRecordsOnly: false, drain: null, sinceMs: 0 }]
  return opened.store.applyRecords({
    effects: [{ reference: null, gateway: '', requestId: null, caller: '', isNameless: false, spends, ...effect }],
    checksOnly: new Set(),
    held: new Set(),
    position: { logId: 'log', partition: 0, nextOffset: 1, appliedOffset: 0 },
  })
}

describe('a reservation', () => {
  test('says what it holds of each quota and until when, and is settled by its id alone, once', async () => {
    opened = await openReserving([tokens, requests])
    const answer = await reserve({ cost: { total_tokens: 600 } })
    expect(answer).toMatchObject({
      allowed: true,
      id: expect.stringMatching(/^1\./),
      // The longest that a quota says.
      expiresAtMs: START_MS + 300_000,
      held: [
        { quota: 'tokens', unit: 'total_tokens', amount: 600, estimated: false },
        { quota: 'requests', unit: 'requests', amount: 1, estimated: false },
      ],
      quotas: [{ quota: 'tokens', used: 0, reserved: 600, remaining: 400 }, { quota: 'requests' }],
    })
    expect(await settle(answer.id, { total_tokens: 250 })).toBe('settled')
    expect(await standings()).toEqual({ tokens: [250, 0], requests: [1, 0] })
    expect(await settle(answer.id, { total_tokens: 250 })).toBe('already_settled')
    expect(await release(answer.id)).toBe('already_settled')
    expect(await standings()).toEqual({ tokens: [250, 0], requests: [1, 0] })
  })

  test('is in the way of others until it is released, once', async () => {
    opened = await openReserving([tokens])
    const { id } = await reserve({ cost: { total_tokens: 900 } })
    expect(await reserve({ cost: { total_tokens: 200 } })).toMatchObject({ allowed: false, id: null, held: [] })
    expect(await release(id)).toBe('settled')
    expect(await release(id)).toBe('already_settled')
    expect(await settle(id, { total_tokens: 50 })).toBe('already_settled')
    expect(await standings()).toEqual({ tokens: [0, 0] })
  })

  test('may take more than was reserved; what is not stated took what was reserved', async () => {
    opened = await openReserving([tokens, requests])
    const [one, other] = [
      await reserve({ cost: { total_tokens: 300 } }),
      await reserve({ cost: { total_tokens: 400, requests: 2 } }),
    ]
    await settle(one.id, { total_tokens: 900 })
    await settle(other.id)
    expect(await standings()).toEqual({ tokens: [1_300, 0], requests: [3, 0] })
  })

  test('is given back at its end, and counts once all the same when it is settled later', async () => {
    opened = await openReserving([tokens])
    const { id } = await reserve({ cost: { total_tokens: 300 }, ttlSeconds: 10 })
    opened.clock.nowMs += 10_001
    await expect.poll(standings).toEqual({ tokens: [0, 0] })
    expect(await settle(id, { total_tokens: 350 })).toBe('settled')
    expect(await settle(id, { total_tokens: 350 })).toBe('already_settled')
    expect(await standings()).toEqual({ tokens: [350, 0] })
  })

  test('settled by the caller and by the record of its call counts once, whichever is first', async () => {
    opened = await openReserving([tokens])
    const [one, other] = [
      await reserve({ cost: { total_tokens: 300 } }),
      await reserve({ cost: { total_tokens: 300 } }),
    ]
    await settle(one.id, { total_tokens: 100 })
    expect(await applyRecord(one.id, 100)).toMatchObject({ linked: 1 })
    expect(await applyRecord(other.id, 200)).toMatchObject({ linked: 1 })
    expect(await settle(other.id, { total_tokens: 200 })).toBe('already_settled')
    expect(await standings()).toEqual({ tokens: [300, 0] })
  })

  test('spends in the window in which it was made, not in the one in which it is settled', async () => {
    opened = await openReserving([tokens, quota({ name: 'day', window: { kind: 'calendar', every: 'day' } })])
    const { id } = await reserve({ cost: { total_tokens: 300 }, ttlSeconds: 7_200 })
    opened.clock.nowMs += 55 * MINUTE_MS
    await settle(id, { total_tokens: 200 })
    expect(await standings()).toEqual({ tokens: [0, 0], day: [200, 0] })
  })

  test('of a quota that counts call records only holds nothing and spends nothing', async () => {
    opened = await openReserving([quota({ name: 'records', counts: 'records', limit: 1_000 })])
    const { id, held } = await reserve({ cost: { total_tokens: 300 } })
    expect(held).toEqual([])
    await settle(id, { total_tokens: 200 })
    expect(await standings()).toEqual({ records: [0, 0] })
  })

  test('is summed for the history with its true cost when it is settled, denied ones at once', async () => {
    opened = await openReserving([tokens])
    const one = await reserve({ cost: { total_tokens: 700 } })
    const released = await reserve({ cost: { total_tokens: 100 } })
    await reserve({ cost: { total_tokens: 900 } })
    await release(released.id)
    await settle(one.id, { total_tokens: 20 })
    expect(await opened.sums()).toMatchObject([{ quota: 'tokens', allowed: 1, spent: 20, denied: 1, deniedCost: 900 }])
  })

  test('is told to its own tenant only', async () => {
    opened = await openReserving([tokens])
    const { id } = await reserve({ cost: { total_tokens: 300 } })
    const { body } = await opened.post(SETTLE, { id, cost: { total_tokens: 1 } }, 'other')
    expect(body.outcome).toBe('unknown')
    expect((await opened.post(RELEASE, { id }, 'other')).body.outcome).toBe('unknown')
    expect((await opened.post(SETTLE, { id, cost: { total_tokens: 1 } }, 'acme')).body.outcome).toBe('settled')
  })
})

test('of which a caller never hears, as it is gone, hold nothing, unless a record may still tell of their calls', async () => {
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
  const { promise: gone, resolve: go } = Promise.withResolvers<void>()
  let decided = 0
  opened = await openReserving([tokens], undefined, store => ({
    ...store,
    decideAtOnce: null,
    async decide(request) {
      ask()
      await gone
      decided += 1
      return store.decide(request)
    },
  }))
  const wish = { ...web, cost: { total_tokens: 100 } }
  const body = JSON.stringify([wish, { ...wish, requestId: 'r-1' }, wish])
  const headers = { authorization: 'Bearer gateway', 'content-type': 'application/json' }
  const giveUp = new AbortController()
  const { signal } = giveUp
  const url = await opened.listen()
  opened.http.once('connection', socket => socket.once('close', () => go()))
  const answer = fetch(`${url}${RESERVATIONS}`, { method: 'POST', headers, body, signal })
  await asked
  giveUp.abort()
  await expect(answer).rejects.toThrow('aborted')
  await expect.poll(() => decided).toBe(3)
  await expect.poll(standings).toEqual({ tokens: [0, 100] })
})

test('of whose caller nobody has heard yet that it is gone hold nothing either', async () => {
  let decided = 0
  opened = await openReserving([tokens], undefined, store => ({
    ...store,
    decideAtOnce: null,
    decide(request) {
      decided += 1
      return store.decide(request)
    },
  }))
  const { hostname, port } = new URL(await opened.listen())
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const body = JSON.stringify({ ...web, cost: { total_tokens: 100 } })
  const head = `POST ${RESERVATIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer gateway\r\n`
  socket.write(`${head}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  // Both are there before the server reads the first.
  socket.destroy()
  await expect.poll(() => decided).toBe(1)
  await expect.poll(standings).toEqual({ tokens: [0, 0] })
})

describe('several at once', () => {
  test('are decided in order, settled and released one by one', async () => {
    opened = await openReserving([tokens])
    const wish = { ...web, cost: { total_tokens: 400 } }
    const { body } = await opened.post(RESERVATIONS, [wish, wish, wish])
    expect(body.map(({ allowed }: { allowed: boolean }) => allowed)).toEqual([true, true, false])
    const [first, second] = body
    const settled = await opened.post(SETTLE, [{ id: first.id, cost: { total_tokens: 7 } }, { id: first.id }])
    expect(settled.body.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['settled', 'already_settled'])
    expect((await opened.post(RELEASE, [{ id: second.id }])).body).toEqual([{ id: second.id, outcome: 'settled' }])
    expect(await standings()).toEqual({ tokens: [7, 0] })
  })

  test('of which one is held of more quotas than an id can name hold nothing', async () => {
    const many = Array.from({ length: 300 }, (_, index) =>
      quota({ name: `many-${index}`, unit: 'requests', limit: 10, match: { consumer: 'busy' } }),
    )
    opened = await openReserving([tokens, ...many])
    const wanted = { ...web, cost: { total_tokens: 300 } }
    const { status, body } = await opened.post(RESERVATIONS, [wanted, wanted, { ...web, consumer: 'busy' }, wanted])
    expect([status, body.code]).toEqual([400, 'reservation_invalid'])
    expect(await standings()).toEqual({ tokens: [0, 0] })
    expect((await opened.get('/v1/reservations?tenant=acme')).body.reservations).toEqual([])
  })

  test('of which one fails leave the record of a call that is made all the same to spend as any other', async () => {
    opened = await openReserving([tokens], undefined, store => {
      let left = 2
      const decide: typeof store.decide = request => {
        left -= 1
        return left < 0 ? Promise.reject(new Error('the machine stumbles')) : store.decide(request)
      }
      return {
        ...store,
        decideAtOnce: null,
        decide: request => (request.isDryRun ? store.decide(request) : decide(request)),
      }
    })
    const wish = { ...web, cost: { total_tokens: 100 } }
    const batch = [{ ...wish, requestId: 'r-1' }, { ...wish, requestId: 'r-2' }, wish]
    expect((await opened.post(RESERVATIONS, batch)).status).toBe(500)
    expect(await standings()).toEqual({ tokens: [0, 0] })
    await applyEffect({ requestId: 'r-1' }, 30)
    expect(await standings()).toEqual({ tokens: [30, 0] })
  })

  test('of which one makes no sense leave nothing behind', async () => {
    opened = await openReserving([tokens])
    const wish = (total_tokens: number) => ({ ...web, cost: { total_tokens } })
    expect((await opened.post(RESERVATIONS, [wish(400), wish(4_000)])).status).toBe(400)
    expect(await standings()).toEqual({ tokens: [0, 0] })
    const { id } = await reserve({ cost: { total_tokens: 400 } })
    expect((await opened.post(SETTLE, [{ id }, { id: '1.no.id' }])).status).toBe(400)
    expect(await standings()).toEqual({ tokens: [0, 400] })
  })
})

describe('the list', () => {
  test('shows what is held, in pages, by tenant, consumer and owner', async () => {
    opened = await openReserving([tokens])
    await reserve({ cost: { total_tokens: 1 }, owner: 'node-1', dimensions: { model: 'large' } })
    await reserve({ cost: { total_tokens: 2 }, consumer: 'app' })
    await opened.post(RESERVATIONS, { tenant: 'other', consumer: 'x', cost: { total_tokens: 3 } })
    const { body: first } = await opened.get(`${RESERVATIONS}?limit=2`)
    expect(first.reservations).toMatchObject([
      {
        owner: 'node-1',
        dimensions: { tenant: 'acme', consumer: 'web', model: 'large' },
        cost: { total_tokens: 1 },
        madeAtMs: START_MS,
        expiresAtMs: START_MS + 120_000,
      },
      { owner: 'gateway', dimensions: { consumer: 'app' } },
    ])
    const { body: rest } = await opened.get(`${RESERVATIONS}?limit=2&cursor=${first.nextCursor}`)
    expect(rest).toMatchObject({ reservations: [{ dimensions: { tenant: 'other' } }], nextCursor: null })
    const count = async (query: string, token: 'gateway' | 'acme' = 'gateway') =>
      (await opened.get(`${RESERVATIONS}${query}`, token)).body.reservations.length
    expect([await count('?consumer=app'), await count('?owner=node-1'), await count('', 'acme')]).toEqual([1, 1, 2])
    expect((await opened.get(`${RESERVATIONS}?tenant=other`, 'acme')).status).toBe(403)
    expect((await opened.get(`${RESERVATIONS}?cursor=x`)).status).toBe(400)
    await settle(first.reservations[0].id)
    expect(await count('')).toBe(2)
  })
})

describe('an estimate', () => {
  const learn = (calls: number) => {
    for (let call = 0; call < calls; call += 1) opened.estimates.learn(callDimensions(web), { total_tokens: 400 })
  }

  test('is what such calls cost, and is said to be one; where nothing is known nothing is held', async () => {
    opened = await openReserving([tokens])
    const cold = await reserve()
    expect(cold).toMatchObject({ allowed: true, held: [] })
    await settle(cold.id, { total_tokens: 10 })
    learn(30)
    const { held } = await reserve()
    expect(held).toMatchObject([{ quota: 'tokens', estimated: true }])
    expect(held[0].amount).toBeGreaterThan(380)
    expect(held[0].amount).toBeLessThan(440)
    expect(await standings()).toEqual({ tokens: [10, held[0].amount] })
  })

  test('that does not fit is a denial, also when it never will; what had room enough in all likelihood is counted', async () => {
    opened = await openReserving([quota({ name: 'tokens', limit: 300 })])
    learn(30)
    expect(await reserve()).toMatchObject({ allowed: false, retryAfterMs: null })
    expect(opened.estimates.counts()).toMatchObject({ denials: 1, needless: 0 })
    for (let call = 0; call < 30; call += 1) opened.estimates.learn(callDimensions(web), { total_tokens: 100 })
    await opened.post('/v1/record', { ...web, cost: { total_tokens: 20 } })
    for (let call = 0; call < 3; call += 1) await reserve()
    const { denials, needless } = opened.estimates.counts()
    expect(denials).toBeGreaterThan(1)
    expect(needless).toBeGreaterThan(0.4)
    expect(needless).toBeLessThan(denials)
  })

  test('is learned from what callers settle', async () => {
    opened = await openReserving([tokens])
    for (let call = 0; call < 25; call += 1) {
      const { id } = await reserve()
      await settle(id, { input_tokens: 3, output_tokens: 4 })
    }
    expect((await reserve()).held).toMatchObject([{ quota: 'tokens', amount: 8, estimated: true }])
  })
})

describe('a record', () => {
  test('spends in any case, over the limit too, and links to the record of its call', async () => {
    opened = await openReserving([tokens])
    const { body } = await opened.post('/v1/record', { ...web, cost: { total_tokens: 5_000 } })
    expect(body).toMatchObject({ decisionId: expect.any(String), quotas: [{ quota: 'tokens', used: 5_000 }] })
    await applyRecord(body.decisionId, 4_000)
    expect(await standings()).toEqual({ tokens: [4_000, 0] })
    const several = await opened.post('/v1/record', [{ ...web, cost: { total_tokens: 1 } }, { ...web }])
    expect(several.body).toHaveLength(2)
    expect(await standings()).toEqual({ tokens: [4_001, 0] })
  })
})
