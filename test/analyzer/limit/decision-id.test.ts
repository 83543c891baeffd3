import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createDecisionIds } from '../../../analyzer/limit/decision-id.ts'
import { DECISION_ID_CHARACTERS_MAX } from '../../../collector/call-record.ts'

const [oldKey, newKey] = ['o'.repeat(32), 'n'.repeat(32)]
const ids = createDecisionIds([newKey, oldKey])
const whole = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const reference = fc.record({
  epoch: whole,
  sequence: whole,
  charges: fc.array(fc.record({ window: whole, bucket: whole, share: whole, amount: whole, isHeld: fc.boolean() }), {
    maxLength: 8,
  }),
})

test('an id says exactly what was decided, in characters that every log and header can carry', () => {
  fc.assert(
    fc.property(reference, decision => {
      const id = ids.encode(decision)
      expect(id).toMatch(/^[\w.-]+$/)
      expect(ids.decode(id ?? '')).toEqual(decision)
    }),
  )
})

test('an id that anything was changed in is not ours', () => {
  fc.assert(
    fc.property(reference, fc.nat(), fc.constantFrom('0', 'z', '-', '.', ''), (decision, place, other) => {
      const id = ids.encode(decision) ?? ''
      const at = place % id.length
      const changed = id.slice(0, at) + other + id.slice(at + 1)
      fc.pre(changed !== id)
      expect(ids.decode(changed)).toBeNull()
    }),
  )
})

test('keys overlap: ids of the older key are accepted, those of unknown keys are not', () => {
  const decision = { epoch: 1, sequence: 2, charges: [] }
  expect(ids.decode(createDecisionIds([oldKey]).encode(decision) ?? '')).toEqual(decision)
  expect(ids.decode(createDecisionIds(['x'.repeat(32)]).encode(decision) ?? '')).toBeNull()
  for (const nonsense of ['', '.', 'a.b', '1.1.1..', 'x'.repeat(10_000)]) expect(ids.decode(nonsense)).toBeNull()
})

test('an id of what was given back says nothing: its amount cannot be read', () => {
  const charge = { window: 1, bucket: 2, share: 0, amount: -3, isHeld: false }
  expect(ids.decode(ids.encode({ epoch: 1, sequence: 2, charges: [charge] }) ?? '')).toBeNull()
})

test('an id that no call record could carry is not given', () => {
  const charge = { window: 2 ** 40, bucket: 2 ** 30, share: 3, amount: 2 ** 50, isHeld: false }
  const charges = Array.from({ length: 100 }, () => charge)
  expect(ids.encode({ epoch: 1, sequence: 1, charges })).toBeNull()
  const fitting = ids.encode({ epoch: 1, sequence: 1, charges: charges.slice(0, 32) })
  expect(fitting?.length).toBeLessThanOrEqual(DECISION_ID_CHARACTERS_MAX)
})
