import { afterEach, describe, expect, test } from 'vitest'
import { createLastKnown } from '../../../analyzer/limit/last-known.ts'
import { RESERVATIONS_MAX } from '../../../analyzer/limit/ledger.ts'
import { type DecideRequest, LimitStoreFull } from '../../../analyzer/limit/limit-store.ts'
import { createLocalCounters } from '../../../analyzer/limit/local-counters.ts'
import { decideInRoom } from '../../../analyzer/limit/room.ts'
import { claim, request } from '../../contract/limit-store.ts'
import { quota } from './call-records.ts'
import { openReserving, type Reserving, START_MS } from './reserving.ts'

/** As many as the store of these tests has room for, less that of all of them together. */
const CONSUMERS = 999
const BATCH = 111

describe('a store that is full of subjects', () => {
  let opened: Reserving
  afterEach(() => opened.close())

  const all = quota({ name: 'all', per: ['tenant'], limit: CONSUMERS + 5 })
  const open = async (onStoreFailure: 'allow' | 'deny') => {
    opened = await openReserving([quota({ name: 'each', limit: 10, onStoreFailure }), all])
    for (let first = 0; first < CONSUMERS; first += BATCH) {
      const consumers = Array.from({ length: BATCH }, (_, index) => `consumer ${first + index}`)
      for (let at = 0; at < BATCH; at += 100) {
        const calls = consumers
          .slice(at, at + 100)
          .map(consumer => ({ tenant: 'acme', consumer, cost: { total_tokens: 1 } }))
        await opened.post('/v1/record', calls)
      }
    }
    expect(opened.store.bucketCount()).toBe(CONSUMERS + 1)
  }
  const ask = async (consumer: string, total_tokens: number) =>
    (await opened.post('/v1/reservations', { tenant: 'acme', consumer, cost: { total_tokens } })).body

  test('counts and holds what it has room for: a quota that is there is no less a limit to who is new', async () => {
    await open('allow')
    const { id, ...first } = await ask('new', 4)
    expect(first).toMatchObject({
      allowed: true,
      degraded: true,
      quotas: [{ used: 0 }, { used: CONSUMERS, reserved: 4 }],
    })
    expect(await ask('newer', 2)).toMatchObject({ allowed: false, degraded: false, binding: 'all' })
    expect((await opened.post('/v1/reservations/settle', { id, cost: { total_tokens: 3 } })).body.outcome).toBe(
      'settled',
    )
    expect(await ask('consumer 1', 2)).toMatchObject({ allowed: true, degraded: false, quotas: [{ reserved: 2 }, {}] })
  })

  test('lets nothing pass that is denied when it cannot be counted', async () => {
    await open('deny')
    expect(await ask('new', 1)).toMatchObject({ allowed: false, degraded: true, binding: 'each' })
    expect(await ask('consumer 1', 5)).toMatchObject({ allowed: true, degraded: false })
  })
})

describe('a store that is full of reservations', () => {
  const reasons: string[] = []
  const onFull = (reason: string) => void reasons.push(reason)

  test('counts all but the calls that are under way', () => {
    const counters = createLocalCounters('alone', createLastKnown(), START_MS)
    const decide = (one: DecideRequest) => counters.decide(one, START_MS)
    const slots = { everyMs: 86_400_000, lengthMs: 86_400_000 }
    const held = claim({ series: 'held', isHeld: true, limit: 2 * RESERVATIONS_MAX, slots })
    const until = { expiresAtMs: START_MS + 1 }
    for (let made = 0; made < RESERVATIONS_MAX; made += 1) decide(request([held], until))
    const both = request([held, claim({ limit: 2 })], until)
    const outcomes = [1, 2, 3].map(() => decideInRoom({ decide, onFull }, both))
    expect(outcomes).toMatchObject([
      { isAllowed: true, isApproximate: true, standings: [{ reserved: 0 }, { used: 1 }] },
      { isAllowed: true, isApproximate: true, standings: [{}, { used: 2 }] },
      { isAllowed: false, standings: [{ fits: true }, { fits: false }] },
    ])
    expect(reasons).toContain('no room for more reservations')
  })

  test('spends what was to be held, which nobody can settle by an id', async () => {
    const reference = { epoch: 1, sequence: 1, charges: [] }
    const standings = [{ used: 1, reserved: 0, fits: true, fitsAtMs: null }]
    const decide = async ({ verb, note }: DecideRequest) => {
      if (verb === 'reserve') throw new LimitStoreFull('reservations', [0])
      expect(note).toBeNull()
      return { isAllowed: true, reference, standings }
    }
    const reserve = request([claim()], { verb: 'reserve', note: '{}' })
    const spent = { isAllowed: true, reference: null, standings, isApproximate: true }
    expect(await decideInRoom({ decide, onFull }, reserve)).toEqual(spent)
  })
})
