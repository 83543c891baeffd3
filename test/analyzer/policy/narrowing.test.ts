import { expect, test } from 'vitest'
import { narrowedTo, ofTenant } from '../../../analyzer/policy/narrowing.ts'
import { matches, matchSql } from '../../../analyzer/policy/quota.ts'
import { callDimensions, testQuota } from '../quotas.ts'

const quota = testQuota({ match: { tenant: ['acme', 'other'], model: 'gpt-*' } })

test('a narrowed quota covers calls of both, and says so in SQL too', () => {
  const narrow = narrowedTo(quota, [
    { field: 'tenant', value: 'acme' },
    { field: 'consumer', value: 'app' },
  ])
  if (!narrow) throw new Error('the quota covers it')
  expect(matches(narrow, callDimensions({ consumer: 'app', model: 'gpt-5' }))).toBe(true)
  expect(matches(narrow, callDimensions({ consumer: 'app', model: 'claude' }))).toBe(false)
  expect(matches(narrow, callDimensions({ consumer: 'else', model: 'gpt-5' }))).toBe(false)
  expect(matches(narrow, callDimensions({ tenant: 'other', consumer: 'app', model: 'gpt-5' }))).toBe(false)
  expect(matchSql(narrow).params).toMatchObject({ match_tenant: ['acme'], match_consumer: ['app'] })
})

test('what a quota does not cover, no part of it does', () => {
  expect(narrowedTo(quota, [{ field: 'tenant', value: 'third' }])).toBeNull()
  expect(narrowedTo(quota, [{ field: 'model', value: 'claude' }])).toBeNull()
  expect(narrowedTo(quota, [{ field: 'model', value: 'gpt-5' }])).not.toBeNull()
})

test('a tenant has part in a quota whose subjects say whose they are', () => {
  expect(ofTenant(quota, 'acme')).not.toBeNull()
  expect(ofTenant(quota, 'third')).toBeNull()
  expect(ofTenant(testQuota({ per: ['consumer'], match: { tenant: 'acme' } }), 'acme')).not.toBeNull()
  expect(ofTenant(testQuota({ per: ['consumer'], match: { tenant: 'acme' } }), 'other')).toBeNull()
  expect(ofTenant(testQuota({ per: ['consumer'], match: { tenant: ['acme', 'other'] } }), 'acme')).toBeNull()
  expect(ofTenant(testQuota({ per: [] }), 'acme')).toBeNull()
})
