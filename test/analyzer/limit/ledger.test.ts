import { expect, test, vi } from 'vitest'
import {
  addEntry,
  createLedger,
  findRequest,
  findReservation,
  type LedgerEntry,
  NOTE_HORIZON_MS,
  takeExpired,
  unhold,
} from '../../../analyzer/limit/ledger.ts'

const entry = (sequence: number, fields: Partial<LedgerEntry> = {}): LedgerEntry => ({
  reference: { epoch: 1, sequence, charges: [] },
  madeAtMs: sequence,
  requestKey: null,
  expiresAtMs: null,
  note: null,
  ...fields,
})

test('a reservation whose request id had to make room leaves nothing behind when it is held no longer', () => {
  const ledger = createLedger(1)
  const held = entry(1, { requestKey: 'r1', expiresAtMs: 100 })
  addEntry(ledger, held)
  addEntry(ledger, entry(2, { requestKey: 'r2' }))
  expect(findRequest(ledger, ['r1'], '')).toBeUndefined()
  unhold(ledger, held.reference)
  expect([...ledger.entries.keys()]).toEqual(['1:2'])
  expect(ledger.changes.get('1:1')).toBeNull()
})

test('of many requests some make room at once: whoever looks for the oldest steps over all that have gone before it', () => {
  const ledger = createLedger(640)
  const looks = vi.spyOn(ledger.requests, 'values')
  for (let sequence = 1; sequence <= 2 * 640; sequence++)
    addEntry(ledger, entry(sequence, { requestKey: `r${sequence}` }))
  expect(looks.mock.calls.length).toBeLessThanOrEqual(64)
  expect(ledger.requests.size).toBe(640)
  expect([...ledger.requests.keys()].at(0)).toBe('r641')
})

test('the same of a request id that another decision has taken over, which stays known', () => {
  const ledger = createLedger(10)
  const held = entry(1, { requestKey: 'r1', expiresAtMs: 100 })
  const newer = entry(2, { requestKey: 'r1' })
  addEntry(ledger, held)
  addEntry(ledger, newer)
  unhold(ledger, held.reference)
  expect(findRequest(ledger, ['r1'], '')).toBe(newer)
  expect(ledger.entries.size).toBe(1)
})

test('an expired reservation is known until it is settled, and at last forgotten, with or without a request id', () => {
  const ledger = createLedger(10)
  const [one, other, settled] = [
    entry(1, { expiresAtMs: 100, note: 'one' }),
    entry(2, { expiresAtMs: 100, note: 'other', requestKey: 'r2' }),
    entry(3, { expiresAtMs: 100, note: 'settled' }),
  ]
  for (const each of [one, other, settled]) addEntry(ledger, each)
  expect(takeExpired(ledger, 100)).toHaveLength(3)
  unhold(ledger, settled.reference)
  expect([one, other, settled].map(({ reference }) => findReservation(ledger, reference)?.note)).toEqual([
    'one',
    'other',
    undefined,
  ])
  takeExpired(ledger, NOTE_HORIZON_MS + 2)
  expect(ledger.entries.size + ledger.expired.size + ledger.requests.size).toBe(0)
})
