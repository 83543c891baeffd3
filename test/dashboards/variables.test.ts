/** Names come from callers: whatever is in them, choosing one shows its calls and no others. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { VARIABLES } from '../../dashboards/board.ts'
import { keys } from '../../dashboards/keys.ts'
import { only } from '../../dashboards/sql.ts'
import { storeCalls } from '../analyzer/store-calls.ts'
import { openTestStore, type TestStore } from '../store-fixture.ts'
import { expand } from './expand.ts'

const NAMES = [
  'plain',
  String.raw`CORP\backup`,
  String.raw`CORP\new`,
  String.raw`ends with \ `.trimEnd(),
  "o'neill",
  ') OR (1=1',
]
const { tenant, consumer, provider, model, gateway } = VARIABLES
const providerKey = keys.variables.find(({ name }) => name === 'provider_key')
const nowMs = Date.now()

let store: TestStore
beforeAll(async () => {
  store = await openTestStore()
  await storeCalls(
    store.store,
    NAMES.map(name => ({
      ...{ startedAtMs: nowMs, tenant: name, consumer: name, provider: name, model: name, gateway: name },
      provider_key: name,
    })),
  )
})
afterAll(() => store?.close())

test.each([tenant, consumer, provider, model, gateway, providerKey])('$label', async variable => {
  const { name = '', sql = '' } = variable ?? {}
  const range = { fromMs: nowMs - 3_600_000, toMs: nowMs, stepSeconds: 60 }
  const rows = await store.rows<Record<string, string>>(expand(sql, { ...range, variables: { tenant: 'all' } }))
  const options = rows.map(row => Object.values(row)).map(([value = '', text = value]) => ({ value, text }))
  expect(options.map(({ text }) => text).toSorted()).toEqual(NAMES.toSorted())
  for (const { value, text } of options) {
    const condition = expand(only(name), { ...range, variables: { [name]: [value] } })
    expect(await store.rows(`SELECT ${name} AS chosen FROM calls WHERE ${condition}`)).toEqual([{ chosen: text }])
  }
})
