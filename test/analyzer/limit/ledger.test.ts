import { expect, test } from 'vitest'
import { addEntry, createLedger, findRequest, type LedgerEntry, unhold } from '../../../analyzer/limit/ledger.ts'

const entry = (sequence: number, fields: Partial<LedgerEntry> = {}): LedgerEntry => ({
  reference: { epoch: 1, sequence, isHeld: fields.expiresAtMs !== undefined, charges: [] },
  madeAtMs: sequence,
  requestKey: null,
  expiresAtMs: null,
  ...fields,
})

test('a reservation whose request id had to make room leaves nothing behind when it is held no longer', () => {
  const ledger = createLedger(1)
  const held = entry(1, { requestKey: 'r1', expiresAtMs: 100 })
  addEntry(ledger, held)
  addEntry(ledger, entry(2, { requestKey: 'r2' }))
  expect(findRequest(ledger, 'r1')).toBeUndefined()
  unhold(ledger, held.reference)
  expect([...ledger.entries.keys()]).toEqual(['1:2'])
  expect(ledger.changes.get('1:1')).toBeNull()
})

test('the same of a request id that another decision has taken over, which stays known', () => {
  const ledger = createLedger(10)
  const held = entry(1, { requestKey: 'r1', expiresAtMs: 100 })
  const newer = entry(2, { requestKey: 'r1' })
  addEntry(ledger, held)
  addEntry(ledger, newer)
  unhold(ledger, held.reference)
  expect(findRequest(ledger, 'r1')).toBe(newer)
  expect(ledger.entries.size).toBe(1)
})
