import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLivePolicy } from '../../../analyzer/control/live-policy.ts'
import { createPolicy, type Policy } from '../../../analyzer/policy/policy.ts'
import { subjectKeyOf } from '../../../analyzer/policy/subject.ts'
import type { ControlChange, ControlKind } from '../../../collector/log/control-change.ts'
import { callDimensions, testQuota } from '../quotas.ts'

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

test('what an earlier or a later version wrote holds as far as this one knows it', () => {
  const live = createLivePolicy([], [])
  const { options } = testQuota({ name: 'made', window: { kind: 'calendar', every: 'month' } })
  const { pace: _pace, alerts: _alerts, ...earlier } = options
  live.fold(change('quota', 'made', earlier))
  expect(live.current().quotas.map(quota => quota.options)).toEqual([options])
  live.fold(change('quota', 'made', { ...options, window: { ...options.window, phase: 1 }, mood: 'good' }))
  expect(live.current().quotas.map(quota => quota.options)).toEqual([options])
  const subject = { tenant: 'acme', consumer: 'web' }
  live.fold(change('override', 'one', { quota: 'made', subject, limit: 7, mood: 'good' }))
  live.fold(change('block', 'one', { what: 'tenant', value: 'evil', mood: 'bad' }))
  const [made] = live.current().quotas
  if (made === undefined) throw new Error('the quota holds')
  expect(live.current().allowance(made, subjectKeyOf(made, callDimensions({ consumer: 'web' })), 0).limit).toBe(7)
  expect(live.current().blocks).toEqual([{ what: 'tenant', value: 'evil', untilMs: null }])
})

test('a change of one adjustment looks at no other, and makes nothing of the quotas anew', () => {
  let looked = 0
  const override = (consumer: string) => ({
    quota: 'configured',
    limit: 5,
    get subject() {
      looked += 1
      return { tenant: 'acme', consumer }
    },
  })
  const live = createLivePolicy([configured], [])
  for (let index = 0; index < 1_000; index += 1) live.fold(change('override', `o${index}`, override(`c${index}`)))
  const before = live.current()
  expect(limitOf(before, 'c999')).toBe(5)
  looked = 0
  live.fold(change('override', 'another', override('another')))
  live.fold(change('override', 'o999', null))
  const after = live.current()
  expect(after).not.toBe(before)
  expect([limitOf(after, 'another'), limitOf(after, 'c999'), limitOf(after, 'c998')]).toEqual([5, 1_000, 5])
  expect(looked).toBeLessThan(10)
  expect(after.enforced).toBe(before.enforced)
  expect(after.blocks).toBe(before.blocks)
})

const limitOf = (policy: Policy, consumer: string) =>
  policy.allowance(configured, subjectKeyOf(configured, callDimensions({ consumer })), 0).limit

const consumers = ['a', 'b']
const adjusting = fc.record({
  kind: fc.constantFrom<ControlKind | 'ask'>('override', 'grant', 'reset', 'upstream', 'pace', 'quota', 'ask'),
  key: fc.constantFrom('1', '2', '3'),
  quota: fc.constantFrom('own', 'said'),
  subject: fc.constantFrom(null, ...consumers.flatMap(consumer => [{ tenant: 'acme', consumer }, { consumer }])),
  amount: fc.integer({ min: 1, max: 50 }),
  isRemoved: fc.boolean(),
})

test('changes one after the other come to what all of them make at once', () => {
  fc.assert(
    fc.property(fc.array(adjusting, { maxLength: 30 }), changes => {
      const live = createLivePolicy([], [])
      const held = new Map<string, { kind: string; value: unknown }>()
      for (const { kind, key: number, quota, subject, amount, isRemoved } of changes) {
        if (kind === 'ask') {
          told(live.current())
          continue
        }
        const key = kind === 'quota' ? quota : number
        const value = isRemoved ? null : wished(kind, { quota, subject, amount })
        live.fold(change(kind, key, value))
        held.delete(`${kind}:${key}`)
        if (value !== null) held.set(`${kind}:${key}`, { kind, value })
      }
      const all = <T>(wanted: string) =>
        [...held.values()].filter(({ kind }) => kind === wanted).map(({ value }) => value as T)
      const quotas = all<Record<string, unknown>>('quota').map(options => testQuota(options))
      const atOnce = createPolicy(quotas, {
        overrides: all('override'),
        grants: all('grant'),
        resets: all('reset'),
        learned: all('upstream'),
        paces: all('pace'),
        blocks: [],
      })
      expect(told(live.current())).toEqual(told(atOnce))
    }),
  )
})

function wished(
  kind: string,
  { quota, subject, amount }: { quota: string; subject: Record<string, string> | null; amount: number },
): unknown {
  const range = { fromMs: amount, untilMs: 2 * amount }
  if (kind === 'quota') {
    const per = amount > 25 ? ['tenant', 'consumer'] : ['consumer']
    if (quota === 'own') return testQuota({ name: quota, per, limit: amount, enforcement: 'pace' }).options
    return testQuota({ name: quota, per, limit: 'upstream', match: { providerKey: 'k' } }).options
  }
  if (kind === 'grant') return { quota, subject, amount, ...range }
  if (subject === null) return null
  if (kind === 'override') return { quota, subject, limit: amount }
  if (kind === 'reset') return { quota, subject, used: amount, ...range }
  if (kind === 'pace') return { quota, subject, amount, untilMs: amount }
  return { quota, subject, limit: amount, deniedUntilMs: null, elsewhere: amount, untilMs: amount, asOfMs: amount }
}

/** All that can be asked of it. */
const told = (policy: Policy) =>
  policy.enforced.map(quota => [
    quota.name,
    [...policy.resets(quota, 30)],
    consumers.map(consumer => {
      const key = subjectKeyOf(quota, callDimensions({ consumer }))
      const steps = policy.limits(quota, key, { fromMs: 0, toMs: 100 })
      return [steps, policy.allowance(quota, key, 30), policy.adjusted(quota, key, 30)]
    }),
  ])
