import { expect, test } from 'vitest'
import { createLivePolicy } from '../../../analyzer/control/live-policy.ts'
import type { ControlChange, ControlKind } from '../../../collector/log/control-change.ts'
import { testQuota } from '../quotas.ts'

const configured = testQuota({ name: 'configured' })
const change = (kind: ControlKind, key: string, value: unknown): ControlChange => ({
  ...{ changeId: 'c', atMs: 0, by: 'test', kind, key, expectedVersion: 0, version: 1, value, reason: null },
})
const names = (policy: { quotas: readonly { name: string }[] }) => policy.quotas.map(({ name }) => name)

test('changes make another policy, and what is none of its business does not', () => {
  const live = createLivePolicy([configured], [])
  const before = live.current()
  expect(live.current()).toBe(before)
  live.fold(change('token', 'somebody', {}))
  expect(live.current()).toBe(before)
  live.fold(change('quota', 'made', testQuota({ name: 'made' }).options))
  expect(names(live.current())).toEqual(['configured', 'made'])
  live.fold(change('quota', 'made', null))
  expect(names(live.current())).toEqual(['configured'])
})

test('the config wins over the API, and what nobody can read has no effect', () => {
  const live = createLivePolicy([configured], [])
  live.fold(change('quota', 'configured', testQuota({ name: 'configured', limit: 1 }).options))
  live.fold(change('quota', 'labelled', testQuota({ name: 'labelled', per: ['team'] }, ['team']).options))
  live.fold(change('quota', 'broken', { name: 'broken' }))
  live.fold(change('block', 'broken', { what: 'planet', value: 'mars', untilMs: null }))
  expect(live.current().quotas).toEqual([configured])
  expect(live.current().blocks).toEqual([])
})
