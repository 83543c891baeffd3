import fc from 'fast-check'
import { expect, test } from 'vitest'
import { subjectKey, subjectKeyOf, subjectOf } from '../../../analyzer/policy/subject.ts'
import { callDimensions, testQuota } from '../quotas.ts'

const value = fc.string({ maxLength: 6 })

test('subjects have equal keys only if they are equal', () => {
  const pair = fc.tuple(value, value, value)
  fc.assert(
    fc.property(pair, pair, (one, other) => {
      expect(subjectKey(one) === subjectKey(other)).toBe(one.every((part, index) => part === other[index]))
    }),
    {
      examples: [
        [
          ['a', 'b1:c', ''],
          ['a1:b', 'c', ''],
        ],
      ],
    },
  )
})

test('half a surrogate pair in a value is what the store keeps of it', () => {
  const one = testQuota({ per: ['tenant', 'consumer'] })
  const halves = callDimensions({ tenant: 'a\ud83d', consumer: 'b\ude00' })
  const kept = callDimensions({ tenant: 'a\ufffd', consumer: 'b\ufffd' })
  expect(subjectOf(one, halves)).toEqual(['a\ufffd', 'b\ufffd'])
  expect(subjectKeyOf(one, halves)).toBe(subjectKeyOf(one, kept))
})

test('the key made from dimensions is the one made from the subject', () => {
  const per = fc.subarray(['tenant', 'consumer', 'route', 'team'])
  fc.assert(
    fc.property(per, value, value, (names, tenant, label1) => {
      const one = testQuota({ per: names }, ['team'])
      const call = callDimensions({ tenant, label1 })
      expect(subjectKeyOf(one, call)).toBe(subjectKey(subjectOf(one, call)))
    }),
  )
})
