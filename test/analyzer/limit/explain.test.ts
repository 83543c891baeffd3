import { afterEach, expect, test } from 'vitest'
import { NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { quota } from './call-records.ts'
import { openReserving, type Reserving, START_MS } from './reserving.ts'

const HOUR_MS = 3_600_000
const tokens = quota({ name: 'tokens', limit: 1_000 })
const CALL = 'tenant=acme&consumer=web'

let opened: Reserving
afterEach(() => opened?.close())

const explain = async (query: string) => (await opened.get(`/v1/explain?${query}`)).body
const spend = (total_tokens: number) =>
  opened.post('/v1/record', { tenant: 'acme', consumer: 'web', cost: { total_tokens } })

test('names the quota that denies, what is used and held, and when the call fits again; nothing is spent', async () => {
  opened = await openReserving([tokens, quota({ name: 'watched', limit: 1, enforcement: 'shadow' })])
  await spend(700)
  await opened.post('/v1/reservations', { tenant: 'acme', consumer: 'web', cost: { total_tokens: 200 } })
  for (const _again of [1, 2]) {
    const { allowed, summary, quotas } = await explain(`${CALL}&total_tokens=150`)
    expect(allowed).toBe(false)
    expect(summary).toBe(
      'This call would be denied by tokens. It fits again at 2026-11-21T13:00:00.000Z, in 3,000 s, if nobody else spends.',
    )
    expect(quotas).toMatchObject([
      { quota: 'tokens', limit: 1_000, used: 700, reserved: 200, remaining: 100, cost: 150, fits: false },
      { quota: 'watched', fits: false },
    ])
    expect(quotas[0].words).toBe(
      'tokens allows each consumer 1,000 total_tokens per 3,600 s. 700 total_tokens are used, 200 are held for calls ' +
        'under way, 100 remain; all of it is free at 2026-11-21T13:00:00.000Z. This call takes 150: 100 are not enough.',
    )
    expect(quotas[1].words).toContain('only watched (shadow)')
  }
})

test('says what allows a call, also when no quota covers it', async () => {
  opened = await openReserving([tokens])
  expect(await explain(`${CALL}&total_tokens=1`)).toMatchObject({
    allowed: true,
    summary: 'This call would be allowed. Least is left of tokens.',
    quotas: [{ fits: true, words: expect.stringContaining('This call takes 1 and fits.') }],
  })
  await opened.close()
  opened = await openReserving([quota({ name: 'large', match: { model: 'large' } })])
  expect((await explain(`${CALL}&model=small`)).summary).toBe('This call would be allowed: no quota covers it.')
  expect((await explain(`${CALL}&model=large`)).quotas).toHaveLength(1)
})

test('of a quota it tells of the calls that the quota covers, as far as nothing else is stated', async () => {
  opened = await openReserving([quota({ name: 'large', match: { model: ['large-*', 'huge'] }, limit: 0 })])
  expect(await explain(`${CALL}&quota=large`)).toMatchObject({ allowed: false, quotas: [{ quota: 'large' }] })
  expect(await explain(`${CALL}&quota=large&model=huge`)).toMatchObject({ allowed: false })
  expect(await explain(`${CALL}&quota=large&model=small`)).toMatchObject({ allowed: true, quotas: [] })
})

test('a quota that there is not, or that is none of the caller’s, is not told as one that lets the call pass', async () => {
  const match = { tenant: ['other', 'acm*'] }
  opened = await openReserving([
    quota({ name: 'shared', match }),
    quota({ name: 'theirs', match: { tenant: 'other' } }),
  ])
  expect(await opened.get(`/v1/explain?${CALL}&quota=share`)).toMatchObject({
    status: 404,
    body: { code: 'quota_unknown', detail: expect.stringContaining('no quota share') },
  })
  expect(await opened.get('/v1/explain?quota=theirs', 'acme')).toMatchObject({ status: 404 })
  // Not of the first tenant that the quota matches, for whom this caller may not ask.
  expect(await opened.get('/v1/explain?quota=shared', 'acme')).toMatchObject({
    status: 200,
    body: { quotas: [{ quota: 'shared' }] },
  })
  expect(await opened.get('/v1/explain?quota=shared&tenant=other', 'acme')).toMatchObject({ status: 403 })
})

test('tells of overrides, grants, resets and blocks by their numbers', async () => {
  const subject = { consumer: 'web' }
  const untilMs = START_MS + HOUR_MS
  opened = await openReserving([tokens], {
    ...NO_ADJUSTMENTS,
    overrides: [{ quota: 'tokens', subject, limit: 50 }],
    grants: [
      { quota: 'tokens', subject: null, amount: 7, fromMs: 0, untilMs },
      { quota: 'tokens', subject, amount: 8, fromMs: START_MS + 1, untilMs },
    ],
    resets: [{ quota: 'tokens', subject, used: 30, fromMs: START_MS - 10 * 60_000, untilMs: START_MS + 50 * 60_000 }],
    blocks: [{ what: 'consumer', value: 'web', untilMs }],
  })
  await spend(40)
  const { allowed, summary, quotas } = await explain(`${CALL}&total_tokens=1`)
  expect(allowed).toBe(false)
  expect(summary).toBe(
    'This call is refused, whatever the quotas say: the consumer web is blocked until 2026-11-21T13:10:00.000Z.',
  )
  expect(quotas).toMatchObject([{ override: 50, grants: [{ amount: 7, untilMs }], forgiven: 30, limit: 57, used: 40 }])
  expect(quotas[0].words).toContain('An override gives this one 50 instead of 1,000.')
  expect(quotas[0].words).toContain('A grant for everybody adds 7 until 2026-11-21T13:10:00.000Z.')
  expect(quotas[0].words).toContain('A reset forgave what was used before (30)')
})

test('tells costs in the currency', async () => {
  const subject = { consumer: 'web' }
  opened = await openReserving([quota({ name: 'budget', unit: 'cost', limit: 50_000_000 })], {
    ...NO_ADJUSTMENTS,
    grants: [{ quota: 'budget', subject, amount: 500_000, fromMs: 0, untilMs: START_MS + HOUR_MS }],
  })
  await opened.post('/v1/record', { tenant: 'acme', consumer: 'web', cost: { cost: 3_366_272 } })
  const { quotas } = await explain(`${CALL}&cost=1200`)
  expect(quotas).toMatchObject([{ limit: 50_500_000, used: 3_366_272, cost: 1_200 }])
  expect(quotas[0].words).toBe(
    'budget allows each consumer 50.5 cost per 3,600 s. A grant adds 0.5 until 2026-11-21T13:10:00.000Z. 3.366272 cost ' +
      'are used, 47.133728 remain; all of it is free at 2026-11-21T13:00:00.000Z. This call takes 0.0012 and fits.',
  )
})

test('tells of a level that takes longer to drain than dates can tell', async () => {
  opened = await openReserving([quota({ name: 'slow', limit: 1, window: { kind: 'rate', everySeconds: 86_400 } })])
  await spend(1e15)
  const { summary, quotas } = await explain(`${CALL}&total_tokens=1`)
  // What was overspent is forgotten before it has drained.
  expect(summary).toBe(
    'This call would be denied by slow. It fits again at 2026-11-25T00:00:00.000Z, in 301,800 s, if nobody else spends.',
  )
  expect(quotas).toMatchObject([{ used: 1e15, resetAtMs: 8.64e15 }])
  expect(quotas[0].words).toContain('all of it is free at +275760-09-13T00:00:00.000Z')
})

test('says of each quota what the decision does, also where less than a unit is left for a call of unknown cost', async () => {
  opened = await openReserving([quota({ name: 'slow', limit: 1, window: { kind: 'rate', everySeconds: 60 } })])
  await spend(1)
  opened.clock.nowMs += 1_000
  expect(await explain(CALL)).toMatchObject({ allowed: true, quotas: [{ remaining: 0, fits: true }] })
})

test('has words for every kind of window', async () => {
  const window = (kind: string, fields: object) => quota({ name: kind, window: { kind, ...fields } })
  opened = await openReserving([
    window('sliding', { everySeconds: 60 }),
    window('rate', { everySeconds: 60, burst: 10 }),
    window('calendar', { every: 'month', timezone: 'Europe/Berlin' }),
    quota({ name: 'held', unit: 'concurrent_requests', window: undefined, limit: 3 }),
  ])
  const { quotas } = await explain(CALL)
  const words = quotas.map((one: { words: string }) => one.words)
  expect(words[0]).toContain('in any 60 s')
  expect(words[1]).toContain('per 60 s, evenly, at most 10 at once')
  expect(words[2]).toContain('per month (Europe/Berlin)')
  expect(words[3]).toContain('3 concurrent_requests at a time. 0 are under way, 3 more may begin.')
})

test('is told to callers of one tenant of their own calls only', async () => {
  opened = await openReserving([tokens])
  expect((await opened.get('/v1/explain?tenant=other', 'acme')).status).toBe(403)
  expect((await opened.get('/v1/explain?consumer=web', 'acme')).status).toBe(200)
  expect((await opened.get('/v1/explain?nonsense=1')).status).toBe(400)
  const beyondDates = await opened.get('/v1/explain?atMs=1e16')
  expect(beyondDates).toMatchObject({ status: 400, body: { errors: [{ path: '/atMs' }] } })
})

test('of a minute that is past says what each quota decided', async () => {
  opened = await openReserving([tokens])
  const { past } = await explain(`${CALL}&atMs=${START_MS}`)
  expect(past).toEqual(['tokens decided nothing in 2026-11-21T12:10Z.'])
})
