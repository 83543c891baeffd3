import fc from 'fast-check'
import { expect, test } from 'vitest'
import { matches } from '../../../analyzer/policy/quota.ts'
import { indexQuotas } from '../../../analyzer/policy/quota-index.ts'
import { callDimensions, testQuota } from '../quotas.ts'

test('the index leaves out no quota that matches, and keeps the order', () => {
  const tenants = fc.constantFrom(undefined, 'acme', 'globex', 'ac*', ['acme', 'initech'], ['globex', 'i*'])
  const called = fc.constantFrom(null, 'acme', 'globex', 'initech', 'other')
  fc.assert(
    fc.property(fc.array(tenants, { maxLength: 8 }), called, (wanted, tenant) => {
      const quotas = wanted.map((pattern, index) =>
        testQuota({ name: `q${index}`, match: pattern === undefined ? {} : { tenant: pattern } }),
      )
      const call = callDimensions({ tenant })
      const found = indexQuotas(quotas)(tenant).filter(one => matches(one, call))
      expect(found).toEqual(quotas.filter(one => matches(one, call)))
    }),
  )
})

test('what the index costs grows with the quotas, not with quotas times tenants', () => {
  let looked = 0
  const quotas = Array.from({ length: 500 }, (_, index) => {
    const quota = testQuota({ name: `q${index}`, match: { tenant: `t${index}` } })
    return Object.defineProperty({ ...quota }, 'conditions', {
      get() {
        looked += 1
        return quota.conditions
      },
    })
  })
  const candidates = indexQuotas([testQuota({ name: 'any' }), ...quotas])
  expect(candidates('t7').map(({ name }) => name)).toEqual(['any', 'q7'])
  expect(candidates('t7')).toBe(candidates('t7'))
  expect(looked).toBeLessThanOrEqual(2 * quotas.length)
})
