/** The promises of `LimitStore`. Every adapter's test calls this suite; a store that cannot keep one is not one. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type {
  AppliedPosition,
  Claim,
  DecideRequest,
  DecisionReference,
  LimitStore,
  RecordEffect,
  RecordSpend,
} from '../../analyzer/limit/limit-store.ts'

export interface LimitStoreHarness {
  /** Opens the store, empty at first, with what the one before has kept afterwards. */
  open(now: () => number): Promise<LimitStore>
  /** Removes everything. */
  remove(): Promise<void>
}

const HOUR_MS = 3_600_000
const START_MS = Date.UTC(2026, 10, 21, 12)

const address = (subject = 'a', series = 'quota', startMs = START_MS) => ({
  series,
  subject,
  startMs,
  endMs: startMs + HOUR_MS,
})

export const claim = (fields: Partial<Claim> = {}): Claim => ({
  ...address(),
  limit: 100,
  cost: 1,
  isSpent: true,
  isEnforced: true,
  isDeniedWhenAway: false,
  isHeld: false,
  sinceMs: 0,
  slots: null,
  drain: null,
  ...fields,
})

export const request = (claims: Claim[], fields: Partial<DecideRequest> = {}): DecideRequest => ({
  verb: 'check',
  claims,
  gateway: 'kong',
  requestId: null,
  caller: '',
  isDryRun: false,
  expiresAtMs: null,
  note: null,
  ...fields,
})

export const spend = (amount: number, fields: Partial<RecordSpend> = {}): RecordSpend => ({
  ...address(),
  amount,
  sinceMs: 0,
  startedAtMs: START_MS,
  isRecordsOnly: false,
  drain: null,
  ...fields,
})

export const effect = (amount: number, fields: Partial<RecordEffect> = {}): RecordEffect => ({
  reference: null,
  gateway: 'kong',
  requestId: null,
  caller: '',
  isNameless: false,
  spends: [spend(amount)],
  ...fields,
})

/** Of a log that began with these records. */
export const positionAfter = (records: number): AppliedPosition => ({
  logId: 'log',
  partition: 0,
  nextOffset: records,
  appliedOffset: records - 1,
})

export function describeLimitStore(name: string, prepare: () => Promise<LimitStoreHarness>): void {
  describe(name, () => {
    let harness: LimitStoreHarness
    let store: LimitStore
    let nowMs: number
    let offset: number

    beforeEach(async () => {
      harness = await prepare()
      nowMs = START_MS + 1_000
      offset = 0
      store = await harness.open(() => nowMs)
    })
    afterEach(async () => {
      await store.close()
      await harness.remove()
    })

    const restart = async () => {
      await store.close()
      store = await harness.open(() => nowMs)
    }
    const standing = async (fields: Partial<Claim> = {}) => {
      const { standings } = await store.decide(request([claim({ cost: 0, ...fields })], { isDryRun: true }))
      return { used: standings[0]?.used, reserved: standings[0]?.reserved }
    }
    const used = async (fields: Partial<Claim> = {}) => (await standing(fields)).used
    const apply = (effects: RecordEffect[], checksOnly: string[] = [], held: string[] = []) => {
      offset += effects.length
      const position = positionAfter(offset)
      return store.applyRecords({ effects, checksOnly: new Set(checksOnly), held: new Set(held), position })
    }
    const spent = async (claims: Claim[], fields: Partial<DecideRequest> = {}): Promise<DecisionReference> => {
      const { reference } = await store.decide(request(claims, fields))
      if (reference === null) throw new Error('expected the decision to spend')
      return reference
    }

    test('spends from all buckets or from none, and a denied call spends nothing', async () => {
      const narrow = claim({ series: 'narrow', limit: 3, cost: 2 })
      expect(await store.decide(request([claim(), narrow]))).toMatchObject({
        isAllowed: true,
        standings: [
          { used: 1, fits: true },
          { used: 2, fits: true },
        ],
      })
      expect(await store.decide(request([claim(), narrow]))).toMatchObject({
        isAllowed: false,
        reference: null,
        standings: [
          { used: 1, fits: true },
          { used: 2, fits: false },
        ],
      })
      expect([await used(), await used({ series: 'narrow' })]).toEqual([1, 2])
    })

    test('a shadow claim is counted and never denies', async () => {
      const shadow = claim({ limit: 1, isEnforced: false })
      for (const expected of [1, 2, 3]) {
        const { isAllowed, standings } = await store.decide(request([shadow]))
        expect([isAllowed, standings[0]?.used]).toEqual([true, expected])
      }
    })

    test('a limit of 0 denies; a cost that is not known yet passes while anything is left', async () => {
      expect(await store.decide(request([claim({ limit: 0, cost: 0 })]))).toMatchObject({ isAllowed: false })
      expect(await store.decide(request([claim({ limit: 2, cost: 0 })]))).toMatchObject({ isAllowed: true })
      await store.decide(request([claim({ limit: 2, cost: 2 })]))
      expect(await store.decide(request([claim({ limit: 2, cost: 0 })]))).toMatchObject({ isAllowed: false })
    })

    test('a claim that does not spend only compares', async () => {
      const compared = claim({ limit: 5, cost: 5, isSpent: false })
      for (let turn = 0; turn < 3; turn += 1) {
        expect(await store.decide(request([compared]))).toMatchObject({ isAllowed: true })
      }
      expect(await used()).toBe(0)
    })

    test('64 callers at once never get more than the limit, and nobody is refused while there is room', async () => {
      const answers = await Promise.all(Array.from({ length: 64 }, () => store.decide(request([claim({ limit: 40 })]))))
      expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(40)
      expect(await used()).toBe(40)
    })

    test('a dry run answers as a check would and spends nothing', async () => {
      expect(await store.decide(request([claim({ cost: 101 })], { isDryRun: true }))).toMatchObject({
        isAllowed: false,
        reference: null,
      })
      expect(await used()).toBe(0)
    })

    test('a cost known afterwards is spent in any case', async () => {
      expect(await store.decide(request([claim({ cost: 150 })], { verb: 'record' }))).toMatchObject({ isAllowed: true })
      expect(await used()).toBe(150)
    })

    describe('reservations', () => {
      const reserve = (cost: number, fields: Partial<DecideRequest> = {}) =>
        spent([claim({ cost })], { verb: 'reserve', expiresAtMs: nowMs + 60_000, ...fields })

      test('hold an estimate, in the way of others, until the true cost replaces it, once', async () => {
        const reference = await reserve(90)
        expect(await standing()).toEqual({ used: 0, reserved: 90 })
        expect(await store.decide(request([claim({ cost: 20 })]))).toMatchObject({ isAllowed: false })
        expect(await store.settle(reference, [spend(30)])).toBe('settled')
        expect(await standing()).toEqual({ used: 30, reserved: 0 })
        expect(await store.settle(reference, [spend(30)])).toBe('already_settled')
        expect(await store.release(reference)).toBe('already_settled')
        expect(await standing()).toEqual({ used: 30, reserved: 0 })
      })

      test('that nobody was told of are undone: the record of a call that was made all the same spends as any other', async () => {
        const reference = await reserve(90, { requestId: 'r1', note: '{}' })
        expect(await store.undo(reference)).toBe('settled')
        expect(await store.undo(reference)).toBe('already_settled')
        await restart()
        expect(await standing()).toEqual({ used: 0, reserved: 0 })
        expect(await apply([effect(30, { requestId: 'r1' })])).toMatchObject({ unlinked: 1 })
        expect(await used()).toBe(30)
        expect(await store.reservation(reference)).toBe('settled')
      })

      test('are given back whole', async () => {
        const reference = await reserve(90)
        await restart()
        expect(await standing()).toEqual({ used: 0, reserved: 90 })
        expect(await store.release(reference)).toBe('settled')
        expect(await standing()).toEqual({ used: 0, reserved: 0 })
      })

      test('expire, and are settled all the same when the cost comes late', async () => {
        const late = await reserve(40)
        const byRecord = await reserve(50, { requestId: 'r1' })
        nowMs += 60_001
        await expect.poll(() => standing()).toEqual({ used: 0, reserved: 0 })
        await store.settle(late, [spend(45)])
        await apply([effect(55, { requestId: 'r1' })])
        expect(await standing()).toEqual({ used: 100, reserved: 0 })
        expect(await store.settle(byRecord, [spend(55)])).toBe('already_settled')
      })

      test('say what they are for by their id alone, until they are settled, also when they have expired', async () => {
        const note = '{"owner":"größe"}'
        const first = await reserve(10, { note })
        const second = await reserve(20, { note, expiresAtMs: nowMs + 120_000 })
        await restart()
        const held = { madeAtMs: nowMs, expiresAtMs: nowMs + 60_000, note }
        expect(await store.reservation(first)).toEqual(held)
        expect(await store.reservations(null, 10)).toEqual([
          { ...held, reference: first },
          { ...held, expiresAtMs: nowMs + 120_000, reference: second },
        ])
        expect(await store.reservations(first, 10)).toMatchObject([{ reference: second }])
        expect(await store.reservations(null, 1)).toMatchObject([{ reference: first }])
        nowMs += 60_001
        await expect.poll(() => store.reservations(null, 10)).toHaveLength(1)
        expect(await store.reservation(first)).toEqual({ ...held, expiresAtMs: null })
        await restart()
        expect(await store.reservation(first)).toEqual({ ...held, expiresAtMs: null })
        await store.settle(first, [spend(5)])
        await apply([effect(6, { reference: second })])
        expect([await store.reservation(first), await store.reservation(second)]).toEqual(['settled', 'settled'])
        expect(await store.reservations(null, 10)).toEqual([])
        expect(await standing()).toEqual({ used: 11, reserved: 0 })
        expect(await store.reservation({ ...first, sequence: 99 })).toBe('unknown')
      })

      test('of a quota that counts checks only are spent when the record of their call comes', async () => {
        const reference = await reserve(90)
        await apply([effect(0, { reference, spends: [] })], ['quota'])
        expect(await standing()).toEqual({ used: 90, reserved: 0 })
      })

      test('are settled by the record that carries their id', async () => {
        const reference = await reserve(90)
        await apply([effect(20, { reference })])
        expect(await standing()).toEqual({ used: 20, reserved: 0 })
      })
    })

    describe('call records', () => {
      test('replace the estimate of the check they name', async () => {
        const reference = await spent([claim({ cost: 50 })])
        expect(await apply([effect(80, { reference })])).toEqual({ linked: 1, unlinked: 0, repeated: 0 })
        expect(await used()).toBe(80)
      })

      test('find their check by the request id, with or without the name of the gateway', async () => {
        await spent([claim({ cost: 50 })], { requestId: 'r1' })
        await spent([claim({ cost: 30 })], { requestId: 'r2', gateway: '' })
        await restart()
        await apply([effect(5, { requestId: 'r1' }), effect(7, { requestId: 'r2' })])
        expect(await used()).toBe(12)
      })

      test.each([
        ['in the order of their checks', ['a', 'b']],
        ['in any other', ['b', 'a']],
      ])('of callers who use one request id at the same time find the check of their own, %s', async (_what, order) => {
        const call = (caller: string) => ({ requestId: 'r1', caller })
        const held = (subject: string) => ({ subject, series: 'held', isHeld: true })
        const subjects = ['a', 'b', 'c']
        for (const subject of subjects)
          await spent([claim({ cost: 50, subject }), claim(held(subject))], {
            ...call(subject),
            expiresAtMs: nowMs + 60_000,
          })
        await spent([claim({ cost: 5, subject: 'b' })], { verb: 'record', ...call('b'), expiresAtMs: nowMs + 60_000 })
        await restart()
        for (const subject of order) await apply([effect(0, { ...call(subject), spends: [spend(60, { subject })] })])
        const standings = () =>
          Promise.all(
            subjects.map(async subject => [await used({ subject }), (await standing(held(subject))).reserved]),
          )
        expect(await standings()).toEqual([
          [60, 0],
          [60, 0],
          [50, 1],
        ])
        await apply([effect(0, { ...call('c'), spends: [spend(70, { subject: 'c' })] })])
        expect((await standings())[2]).toEqual([70, 0])
      })

      test('find the check of their request id also where it says somebody else, if nobody else has it', async () => {
        await spent([claim({ cost: 50 })], { requestId: 'r1', caller: 'a' })
        await spent([claim({ cost: 50 })], { requestId: 'r2' })
        await apply([effect(5, { requestId: 'r1', caller: 'b' }), effect(7, { requestId: 'r2', caller: 'b' })])
        expect(await used()).toBe(12)
      })

      test('never find the check of another tenant, who may have chosen the same request id', async () => {
        const acme = { requestId: 'r1', caller: 'acme/web', expiresAtMs: nowMs + 60_000 }
        const other = { requestId: 'r1', caller: 'other/web' }
        const held = { subject: 'acme', series: 'held', isHeld: true }
        await spent([claim({ cost: 50, subject: 'acme' }), claim(held)], acme)
        await spent([claim({ cost: 5, subject: 'other' })], { verb: 'record', ...other })
        await restart()
        await apply([effect(0, { ...other, spends: [spend(7, { subject: 'other' })] })])
        expect(await used({ subject: 'acme' })).toBe(50)
        expect((await standing(held)).reserved).toBe(1)
        await apply([effect(0, { requestId: 'r1', caller: '/web', spends: [spend(60, { subject: 'acme' })] })])
        expect(await used({ subject: 'acme' })).toBe(60)
        expect((await standing(held)).reserved).toBe(0)
      })

      test('of a request id that is used again are another call', async () => {
        await spent([claim({ cost: 50 })], { requestId: 'r1' })
        await apply([effect(5, { requestId: 'r1' }), effect(7, { requestId: 'r1' })])
        expect(await used()).toBe(12)
      })

      test('with both ids do not leave the request id behind', async () => {
        const reference = await spent([claim({ cost: 50 })], { requestId: 'r1' })
        await apply([effect(5, { reference, requestId: 'r1' }), effect(7, { requestId: 'r1' })])
        expect(await used()).toBe(12)
      })

      test('replace all that their call has spent, when it was checked and at its end', async () => {
        const requests = { series: 'requests' }
        const called = async (requestId: string) => {
          const reference = await spent([claim(requests)], { requestId })
          for (const cost of [20, 30]) await spent([claim({ cost })], { verb: 'record', requestId })
          return reference
        }
        await called('r1')
        const reference = await called('r2')
        expect(await used()).toBe(100)
        await restart()
        const spends = [spend(1, requests), spend(48)]
        await apply([effect(0, { requestId: 'r1', spends }), effect(0, { reference, spends })])
        expect(await used(requests)).toBe(2)
        expect(await used()).toBe(96)
      })

      test('end what the check of their call holds, also when the call has spent more since', async () => {
        const held = { series: 'held', isHeld: true }
        await spent([claim(held)], { requestId: 'r1', expiresAtMs: nowMs + 60_000 })
        await spent([claim({ cost: 20 })], { verb: 'record', requestId: 'r1' })
        await apply([effect(30, { requestId: 'r1' })])
        expect(await standing(held)).toMatchObject({ reserved: 0 })
        expect(await used()).toBe(30)
      })

      test.each([
        ['take out once what the call has spent since its check and was given back', false],
        ['take it out once where the counters were opened again in between, too', true],
      ])('%s', async (_what, isRestarted) => {
        await spent([claim({ cost: 10 })], { requestId: 'r1' })
        if (isRestarted) await restart()
        const [given] = [
          await spent([claim({ cost: 30 })], { verb: 'record', requestId: 'r1' }),
          await spent([claim({ cost: 15 })], { verb: 'record', requestId: 'r1' }),
        ]
        await spent([claim({ cost: 40 })])
        await store.release(given)
        expect(await used()).toBe(65)
        await restart()
        await apply([effect(5, { requestId: 'r1' })])
        expect(await used()).toBe(45)
      })

      test('of one decision spend once', async () => {
        const reference = await spent([claim({ cost: 50 })])
        await apply([effect(80, { reference })])
        expect(await apply([effect(80, { reference })])).toEqual({ linked: 0, unlinked: 0, repeated: 1 })
        expect(await used()).toBe(80)
      })

      test('spend nothing after the caller has settled', async () => {
        const byId = await spent([claim({ cost: 50 })])
        const byRequest = await spent([claim({ cost: 50 })], { requestId: 'r1' })
        await store.settle(byId, [spend(20)])
        await store.settle(byRequest, [spend(30)])
        await apply([effect(20, { reference: byId }), effect(30, { requestId: 'r1' })])
        expect(await used()).toBe(50)
      })

      test('without an id and checks without one count once: the larger of the two, per gateway', async () => {
        await spent([claim({ cost: 30 })])
        await apply([effect(20)])
        expect(await used()).toBe(30)
        await apply([effect(25)])
        expect(await used()).toBe(45)
        // Another gateway's calls are other calls.
        await apply([effect(10, { gateway: 'nginx' })])
        expect(await used()).toBe(55)
        await spent([claim({ cost: 4 })], { gateway: 'nginx' })
        expect(await used()).toBe(55)
      })

      test('leave the charges of quotas that count checks only', async () => {
        const reference = await spent([claim({ cost: 50 }), claim({ series: 'checks', cost: 2 })])
        await apply([effect(80, { reference })], ['checks'])
        expect([await used(), await used({ series: 'checks' })]).toEqual([80, 2])
      })

      test('of nobody leave what the check took of whom it knew, at their own cost', async () => {
        const ofTenant = { series: 'tenant', subject: 'acme' }
        const nobodys = spend(80, { subject: '' })
        const claims = [claim({ cost: 50 }), claim({ cost: 50, ...ofTenant }), claim({ series: 'named', cost: 2 })]
        const reference = await spent(claims)
        const record = effect(0, { reference, isNameless: true, spends: [nobodys, spend(80, ofTenant)] })
        expect(await apply([record])).toEqual({ linked: 1, unlinked: 0, repeated: 0 })
        const all = () => Promise.all([used(), used({ subject: '' }), used(ofTenant), used({ series: 'named' })])
        expect(await all()).toEqual([80, 0, 80, 2])
        expect(await apply([record])).toMatchObject({ repeated: 1 })
        expect(await all()).toEqual([80, 0, 80, 2])
      })

      test('of nobody spend nothing of a call that a reset of whom the check knew has forgotten', async () => {
        const reference = await spent([claim({ cost: 50 })])
        nowMs += 1
        await store.raise([{ ...address(), sinceMs: nowMs, amount: 0, drain: null }])
        await apply([effect(0, { reference, isNameless: true, spends: [spend(80, { subject: '' })] })])
        expect([await used({ sinceMs: nowMs }), await used({ subject: '' })]).toEqual([0, 0])
      })

      test('of nobody spend what was held of whom the check knew, and let go what was under way', async () => {
        const underWay = { series: 'under way', isHeld: true }
        const reference = await spent([claim({ cost: 50 }), claim(underWay)], { verb: 'reserve' })
        await apply(
          [effect(0, { reference, isNameless: true, spends: [spend(80, { subject: '' })] })],
          [],
          ['under way'],
        )
        expect(await standing()).toEqual({ used: 80, reserved: 0 })
        expect(await standing({ series: 'under way' })).toEqual({ used: 0, reserved: 0 })
      })

      test('spend as they are where only records count', async () => {
        await apply([effect(7, { spends: [spend(7, { isRecordsOnly: true })] })])
        await apply([effect(8, { spends: [spend(8, { isRecordsOnly: true })] })])
        expect(await used()).toBe(15)
      })

      test('in a later window take the charge out of the window it was made in', async () => {
        const next = { startMs: START_MS + HOUR_MS, endMs: START_MS + 2 * HOUR_MS }
        const day = { series: 'day', endMs: START_MS + 24 * HOUR_MS }
        const reference = await spent([claim({ cost: 50 }), claim({ cost: 50, ...day })])
        nowMs = next.startMs + 5
        const spends = [spend(60, next), spend(60, day)]
        await apply([effect(60, { reference, spends })])
        expect([await used(next), await used(day)]).toEqual([60, 60])
      })

      test('dated into a window that had ended when they were checked spend where their check did', async () => {
        const dated = { ...address('a', 'quota', START_MS - HOUR_MS), startedAtMs: START_MS - 1 }
        const reference = await spent([claim({ cost: 9 })], { requestId: 'r1' })
        const held = await spent([claim({ cost: 20 })], { verb: 'reserve', expiresAtMs: nowMs + 60_000 })
        await apply([effect(0, { reference, requestId: 'r1', spends: [spend(7, dated)] })])
        expect(await standing()).toMatchObject({ used: 7, reserved: 20 })
        await apply([effect(0, { reference: held, spends: [spend(30, dated)] })])
        // Without a check it is nobody's, as is what another bucket has charged.
        await apply([effect(0, { spends: [spend(100, dated)] })])
        const other = await spent([claim({ ...address('b'), cost: 2 })])
        await apply([effect(0, { reference: other, spends: [spend(100, dated)] })])
        expect(await standing()).toMatchObject({ used: 37, reserved: 0 })
        // The store of call records has them in the window of before.
        const { id } = await store.beginComparison()
        const truth = {
          ...address(),
          isWhole: true,
          mayLower: true,
          isRecordsOnly: false,
          resets: new Map(),
          costs: [],
        }
        expect(await store.correct(id, [truth])).toMatchObject({ buckets: 0, removed: 0 })
        expect(await standing()).toMatchObject({ used: 37 })
      })

      test('dated before their check spend where it noted what it took nothing of, by its id and by the request', async () => {
        const dated = { ...address('a', 'quota', START_MS - HOUR_MS), startedAtMs: START_MS - 1 }
        const unknown = claim({ cost: 0, isNoted: true })
        const reference = await spent([unknown])
        await spent([unknown], { requestId: 'r1' })
        expect(await used()).toBe(0)
        await apply([
          effect(0, { reference, spends: [spend(7, dated)] }),
          effect(0, { requestId: 'r1', spends: [spend(20, dated)] }),
        ])
        expect(await used()).toBe(27)
        // What is dated as it was checked counts as ever, and so does what is only compared or held.
        const inTime = await spent([unknown])
        await apply([effect(0, { reference: inTime, spends: [spend(3)] })])
        const compared = await spent([claim({ cost: 0, isNoted: true, isSpent: false })])
        await apply([effect(0, { reference: compared, spends: [spend(100, dated)] })])
        expect(await standing()).toEqual({ used: 30, reserved: 0 })
      })

      test('for a window that has ended spend nothing', async () => {
        nowMs = START_MS + HOUR_MS
        expect(await apply([effect(60)])).toEqual({ linked: 0, unlinked: 1, repeated: 0 })
        expect(await used()).toBe(0)
      })

      test('are kept together with the position', async () => {
        await apply([effect(3), effect(4)])
        await restart()
        expect(await used()).toBe(7)
        expect(await store.position('log', 0)).toEqual({ logId: 'log', partition: 0, nextOffset: 2, appliedOffset: 1 })
        expect(await store.position('another', 0)).toBeNull()
      })
    })

    test('counters that were lost are raised to what they are known to have held, never lowered', async () => {
      const usedOf = (subject: string) => used({ subject })
      await store.decide(request([claim({ cost: 20 })]))
      const floors = [spend(50), spend(10, address('b')), spend(3, address('b')), spend(0, address('c'))]
      await store.raise(floors)
      await store.raise(floors)
      expect(await Promise.all(['a', 'b', 'c'].map(usedOf))).toEqual([50, 10, 0])
      await store.raise([spend(40)])
      expect(await usedOf('a')).toBe(50)
      // Records of the calls that were lost are the same use.
      await apply([effect(25), effect(4, { spends: [spend(4, address('b'))] })])
      expect(await Promise.all(['a', 'b'].map(usedOf))).toEqual([50, 10])
      await store.decide(request([claim({ cost: 1 })]))
      expect(await usedOf('a')).toBe(51)
    })

    test('counters that know of records already are raised to all that they are known to have held', async () => {
      await apply([effect(100)])
      await store.raise([spend(150)])
      expect(await used()).toBe(150)
    })

    test('that counters are new is told to whoever opens them, until what was lost is rebuilt', async () => {
      expect(store.losses()).toBe(1)
      await restart()
      expect(store.losses()).toBe(1)
      await store.rebuilt()
      await restart()
      expect(store.losses()).toBe(0)
    })

    test('everything survives a restart, and what was decided before can be settled after it', async () => {
      const reference = await spent([claim({ cost: 50 })])
      const settled = await spent([claim({ cost: 9 })])
      await apply([effect(6), effect(8, { reference: settled })])
      await restart()
      expect(await used()).toBe(58)
      expect(await store.settle(settled, [spend(9)])).toBe('already_settled')
      expect(await store.settle(reference, [spend(10)])).toBe('settled')
      expect(await used()).toBe(24)
      await restart()
      expect(await store.settle(reference, [spend(10)])).toBe('already_settled')
      expect(await used()).toBe(24)
    })

    test('the clock does not go back, not over a restart either', async () => {
      const before = store.nowMs()
      await spent([claim()])
      nowMs -= 5_000
      expect(store.nowMs()).toBe(before)
      await restart()
      expect(store.nowMs()).toBe(before)
      nowMs += 6_000
      expect(store.nowMs()).toBe(before + 1_000)
    })

    test('windows that have ended are forgotten', async () => {
      await spent([claim({ subject: 'a' }), claim({ subject: 'b', series: 'day', endMs: START_MS + 24 * HOUR_MS })])
      expect(store.bucketCount()).toBe(2)
      nowMs = START_MS + HOUR_MS
      await expect.poll(() => store.bucketCount()).toBe(1)
      await restart()
      expect(store.bucketCount()).toBe(1)
    })

    describe('comparisons with the store of call records', () => {
      const truth = (isWhole: boolean, amounts: Record<string, number>, fields = {}) => ({
        ...address(),
        isWhole,
        mayLower: isWhole,
        isRecordsOnly: false,
        resets: new Map(),
        costs: Object.entries(amounts).map(([gateway, amount]) => ({ subject: 'a', gateway, amount })),
        ...fields,
      })

      test('add what was missed and take out what was doubled, exactly', async () => {
        await apply([effect(10), effect(5, { gateway: 'nginx' }), effect(5, { gateway: 'nginx' })])
        const comparison = await store.beginComparison()
        expect(comparison.cut).toEqual([{ logId: 'log', partition: 0, nextOffset: 3, appliedOffset: 2 }])
        expect(comparison.windows).toEqual([{ ...address(), subject: undefined, comparedTo: null }])
        // Under way while the store was asked: no difference.
        await apply([effect(1_000)])
        const corrections = await store.correct(comparison.id, [truth(true, { kong: 17, nginx: 5 })])
        expect(corrections).toEqual({ buckets: 1, added: 7, removed: 5 })
        expect(await used()).toBe(17 + 5 + 1_000)
      })

      test('do not count as that of nobody what a check knew whose it was, though the record does not say', async () => {
        const reference = await spent([claim({ cost: 50 })])
        await apply([effect(0, { reference, isNameless: true, spends: [spend(80, { subject: '' })] })])
        const { id } = await store.beginComparison()
        const costs = [{ subject: '', gateway: 'kong', amount: 80 }]
        const corrections = await store.correct(id, [truth(true, {}, { costs })])
        expect(corrections).toEqual({ buckets: 0, added: 0, removed: 0 })
        expect([await used(), await used({ subject: '' })]).toEqual([80, 0])
      })

      test('make a subject that was never seen', async () => {
        const { id } = await store.beginComparison()
        await store.correct(id, [truth(true, { kong: 40 })])
        expect(await used()).toBe(40)
      })

      test('go on from the positions compared before; too much is decided by the whole window', async () => {
        await apply([effect(10)])
        const first = await store.beginComparison()
        await store.correct(first.id, [truth(true, { kong: 10 })])
        await apply([effect(3), effect(3)])
        await restart()
        const second = await store.beginComparison()
        expect(second.windows[0]?.comparedTo).toEqual(first.cut)
        expect(await store.correct(second.id, [truth(false, { kong: 3 })])).toMatchObject({ added: 0, removed: 0 })
        const third = await store.beginComparison()
        expect(third.windows[0]?.comparedTo).toBeNull()
        expect(await store.correct(third.id, [truth(true, { kong: 13 })])).toMatchObject({ removed: 3 })
        expect(await used()).toBe(13)
      })

      test('do not count a missed record beside the check that stands for it', async () => {
        await spent([claim({ cost: 10 })])
        const { id } = await store.beginComparison()
        await store.correct(id, [truth(true, { kong: 10 })])
        expect(await used()).toBe(10)
      })

      test('go on after a restart where the store knows a subject that has spent nothing', async () => {
        const { id } = await store.beginComparison()
        await store.correct(id, [truth(true, { kong: 0 })])
        await spent([claim({ subject: 'b' })])
        await restart()
        const second = await store.beginComparison()
        expect(await store.correct(second.id, [truth(true, { kong: 4 })])).toMatchObject({ buckets: 1, added: 4 })
        expect([await used(), await used({ subject: 'b' })]).toEqual([4, 1])
      })

      test('that were overtaken correct nothing', async () => {
        const { id } = await store.beginComparison()
        const losses = store.losses()
        await store.forgetComparisons()
        // So that nobody waits with the next one.
        expect(store.losses()).toBe(losses + 1)
        expect(await store.correct(id, [truth(true, { kong: 10 })])).toEqual({ buckets: 0, added: 0, removed: 0 })
        expect(await used()).toBe(0)
      })
    })

    test('whatever is asked, settled, released and recorded, every call counts exactly once', async () => {
      const step = fc.record({
        estimate: fc.integer({ min: 1, max: 50 }),
        cost: fc.integer({ min: 0, max: 80 }),
        verb: fc.constantFrom('check' as const, 'reserve' as const, 'record' as const),
        link: fc.constantFrom(
          'decision' as const,
          'request' as const,
          'caller' as const,
          'release' as const,
          'twice' as const,
        ),
        restarts: fc.boolean(),
      })
      let run = 0
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async steps => {
          run += 1
          const bucket = { subject: `run ${run}`, limit: 1e9 }
          let expected = 0
          for (const [index, { estimate, cost, verb, link, restarts }] of steps.entries()) {
            const requestId = link === 'request' ? `${run}/${index}` : null
            const expiresAtMs = verb === 'reserve' ? nowMs + HOUR_MS : null
            const reference = await spent([claim({ ...bucket, cost: estimate })], { verb, requestId, expiresAtMs })
            if (restarts && run % 10 === 0) await restart()
            const spends = cost === 0 ? [] : [spend(cost, { subject: bucket.subject })]
            if (link === 'release') await store.release(reference)
            else if (link === 'caller') await store.settle(reference, spends)
            else await apply([effect(cost, { reference: requestId === null ? reference : null, requestId, spends })])
            if (link === 'twice') await apply([effect(cost, { reference, spends })])
            if (link !== 'release') expected += cost
            expect(await standing(bucket)).toEqual({ used: expected, reserved: 0 })
          }
        }),
        { numRuns: 60 },
      )
    })
  })
}
