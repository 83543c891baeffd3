import { afterAll, beforeAll, expect, test } from 'vitest'
import { keepAudit } from '../../../collector/store/audit-retention.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'

const DAY_MS = 86_400_000

let opened: TestStore
beforeAll(async () => {
  opened = await openTestStore()
})
afterAll(() => opened?.close())

test('a store from before drops what is older, but for what boards know quotas by, once', async () => {
  const { store, rows } = opened
  const nowMs = Date.now()
  const row = (kind: string, days: number) => ({
    kind,
    key: `${days}d`,
    at: new Date(nowMs - days * DAY_MS).toISOString(),
  })
  const values = [
    row('alert', 399),
    row('alert', 401),
    row('grant', 401),
    row('quota', 4_000),
    row('quota_config', 401),
  ]
  await store.client.insert({ table: 'audit', values, format: 'JSONEachRow' })
  await keepAudit(store, 400 * 86_400)
  const kept = () => rows('SELECT kind, key FROM audit ORDER BY kind, key')
  const quotas = [
    { kind: 'quota', key: '4000d' },
    { kind: 'quota_config', key: '401d' },
  ]
  await expect.poll(kept, { timeout: 30_000 }).toEqual([{ kind: 'alert', key: '399d' }, ...quotas])

  const mutations = () => rows("SELECT mutation_id FROM system.mutations WHERE table = 'audit'")
  const before = await mutations()
  expect(before).toHaveLength(1)
  await keepAudit(store, 400 * 86_400)
  expect(await mutations()).toEqual(before)

  await keepAudit(store, 30 * 86_400)
  await expect.poll(kept, { timeout: 30_000 }).toEqual(quotas)
})
