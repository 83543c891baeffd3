/** What the analyzer set, as the limiter holds it: paces, and limits that a provider says. */
import { afterEach, expect, test } from 'vitest'
import { NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { quota } from './call-records.ts'
import { openReserving, type Reserving, START_MS } from './reserving.ts'

const HOUR_MS = 3_600_000
const web = { tenant: 'acme', consumer: 'web' }
const subject = { consumer: 'web' }

let opened: Reserving
afterEach(() => opened?.close())

const reserve = async (total_tokens: number, consumer = 'web') =>
  (await opened.post('/v1/reservations', { ...web, consumer, cost: { total_tokens } })).body
const explain = async () => (await opened.get('/v1/explain?tenant=acme&consumer=web&total_tokens=1')).body

test('a pace is a rate beside its quota: a large call passes alone, what drains lets others pass, true costs count', async () => {
  const tokens = quota({ name: 'tokens', limit: 1_000, enforcement: 'pace' })
  const untilMs = START_MS + HOUR_MS / 2
  opened = await openReserving([tokens], {
    ...NO_ADJUSTMENTS,
    paces: [{ quota: 'tokens', subject, amount: 15, untilMs }],
  })
  const large = await reserve(100)
  expect(large).toMatchObject({ allowed: true })
  const denied = await reserve(1)
  expect(denied).toMatchObject({
    allowed: false,
    binding: 'tokens:pace',
    quotas: [{ remaining: 900 }, { remaining: 0 }],
  })
  expect(await reserve(50)).toMatchObject({ allowed: false, quotas: [{}, { limit: 15, remaining: 0 }] })
  expect((await reserve(1, 'app')).allowed).toBe(true)
  expect((await explain()).quotas.map(({ words }: { words: string }) => words)).toEqual([
    expect.stringContaining(
      'tokens allows each consumer 1,000 total_tokens per 3,600 s. 0 total_tokens are used, 100 are held',
    ),
    expect.stringMatching(
      /^tokens:pace allows each consumer 15 total_tokens per 150 s, evenly, so that what is left of tokens lasts until its reset\./,
    ),
  ])
  await opened.post('/v1/reservations/settle', { id: large.id, cost: { total_tokens: 10 } })
  expect((await reserve(5)).allowed).toBe(true)
  expect((await reserve(1)).allowed).toBe(false)
  opened.clock.nowMs += 10_000
  expect((await reserve(1)).allowed).toBe(true)
  // What the pace refused was asked of the quota.
  const sums = await opened.sums()
  expect(new Set(sums.map(({ quota: name }) => name))).toEqual(new Set(['tokens']))
  expect(sums.reduce((sum, { deniedCost }) => sum + deniedCost, 0)).toBe(52)
  opened.clock.nowMs = untilMs
  expect((await reserve(800)).allowed).toBe(true)
  expect((await explain()).quotas).toHaveLength(1)
})

test('a provider that refuses without having said its limit is told to allow nothing for now, and not 0', async () => {
  const key = quota({ name: 'key', per: ['providerKey'], match: { providerKey: 'k' }, limit: 'upstream' })
  const said = { quota: 'key', subject: { providerKey: 'k' }, limit: null, elsewhere: 0, untilMs: START_MS + HOUR_MS }
  opened = await openReserving([key], { ...NO_ADJUSTMENTS, learned: [{ ...said, deniedUntilMs: START_MS + 5_000 }] })
  const { allowed, quotas } = (await opened.get('/v1/explain?tenant=acme&providerKey=k&total_tokens=7')).body
  expect(allowed).toBe(false)
  expect(quotas).toMatchObject([{ limit: null, remaining: 0, fits: false }])
  expect(quotas[0].words).toContain('it has not said it yet. The provider refuses calls until')
  const asked = await opened.post('/v1/reservations', { ...web, dimensions: { providerKey: 'k' } })
  expect(asked.body).toMatchObject({ allowed: false, retryAfterMs: 5_000, quotas: [{ limit: null, remaining: 0 }] })
})

test('a limit that nobody has said denies nothing and says so; what is used counts for when it is known', async () => {
  const key = quota({ name: 'key', per: ['providerKey'], match: { providerKey: 'k' }, limit: 'upstream' })
  opened = await openReserving([key])
  const call = { ...web, dimensions: { providerKey: 'k' }, cost: { total_tokens: 1_000_000 } }
  const { body } = await opened.post('/v1/reservations', call)
  expect(body).toMatchObject({ allowed: true, binding: null })
  const explained = (await opened.get('/v1/explain?tenant=acme&providerKey=k&total_tokens=7')).body
  expect(explained).toMatchObject({
    allowed: true,
    quotas: [{ limit: null, remaining: null, reserved: 1_000_000, fits: true }],
  })
  expect(explained.quotas[0].words).toContain('it has not said it yet: nothing is denied')
  await opened.close()

  const said = { quota: 'key', subject: { providerKey: 'k' }, limit: 1_000, elsewhere: 40, untilMs: START_MS + HOUR_MS }
  opened = await openReserving([key], { ...NO_ADJUSTMENTS, learned: [{ ...said, deniedUntilMs: START_MS + 5_000 }] })
  const small = { ...call, cost: { total_tokens: 10 } }
  expect((await opened.post('/v1/reservations', small)).body).toMatchObject({
    ...{ allowed: false, retryAfterMs: 5_000 },
    quotas: [{ limit: 1_000, used: 40, remaining: 0 }],
  })
  const gone = (await opened.get('/v1/explain?tenant=acme&providerKey=k&total_tokens=7')).body
  expect(gone.quotas).toMatchObject([{ limit: 1_000, remaining: 0, fits: false }])
  expect(gone.quotas[0].words).toBe(
    'key allows each providerKey 1,000 total_tokens per 3,600 s. The provider refuses calls until ' +
      '2026-11-21T12:10:05.000Z: its quota is gone. By what the provider says, 40 were used elsewhere. 40 total_tokens ' +
      'are used, 0 remain; all of it is free at 2026-11-21T13:00:00.000Z. This call takes 7: the provider lets nothing pass.',
  )
  opened.clock.nowMs += 5_000
  expect((await opened.post('/v1/reservations', small)).body.quotas).toMatchObject([
    { limit: 1_000, used: 40, remaining: 950 },
  ])
  await opened.close()

  const fromMs = START_MS - 1
  const reset = { quota: 'key', subject: said.subject, used: 7, fromMs, untilMs: said.untilMs }
  const learned = { ...said, deniedUntilMs: null, asOfMs: START_MS }
  opened = await openReserving([key], { ...NO_ADJUSTMENTS, learned: [learned], resets: [reset] })
  const since = (await opened.get('/v1/explain?tenant=acme&providerKey=k&total_tokens=7')).body
  expect(since.quotas[0].words).toContain('By what the provider says, 40 were used elsewhere or before the reset.')
})
