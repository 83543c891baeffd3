import { expect, test } from 'vitest'
import { createHeldState, REMOVED_MAX } from '../../../analyzer/control/held.ts'

test('who begins with a snapshot forgets the same versions next as who has folded all changes', () => {
  const whole = createHeldState()
  const from = createHeldState()
  const change = (key: string, expectedVersion: number, value: unknown) => {
    const asked = { changeId: key, atMs: 0, by: 'test', reason: null }
    return { kind: 'block' as const, key, expectedVersion, version: expectedVersion + 1, value, ...asked }
  }
  const remove = (states: (typeof whole)[], key: string) => {
    for (const state of states) for (const value of [1, null]) state.fold(change(key, value === null ? 1 : 0, value))
  }
  for (let number = 0; number < REMOVED_MAX; number++) remove([whole], `key-${number}`)
  whole.fold(change('key-0', 2, 1))
  whole.fold(change('key-0', 3, null))
  expect(from.replace(whole.entries())).toHaveLength(REMOVED_MAX)
  for (const key of ['one', 'two']) remove([whole, from], key)
  expect(from.entries()).toEqual(whole.entries())
  expect(from.current('block', 'key-2').version).toBe(0)
  expect(from.current('block', 'key-0').version).toBe(4)
  expect(whole.replace(from.entries())).toEqual([])
})
