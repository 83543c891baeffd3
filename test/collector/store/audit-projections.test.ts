import { expect, test } from 'vitest'
import { auditProjections } from '../../../collector/store/audit-projections.ts'
import type { Store } from '../../../collector/store/open.ts'

type Hours = [hour: string, sums: string][]

/** The engine keeps projections right by itself, so a wrong one has to be invented: what each look is told. */
const storeThatAnswers = (answer: (projection: string | null, look: number) => Hours): Store => {
  const looks = new Map<string | null, number>()
  const query = async ({ clickhouse_settings: settings }: { clickhouse_settings: Record<string, unknown> }) => {
    const name = settings.preferred_optimize_projection_name
    const projection = settings.optimize_use_projections === 0 ? null : String(name)
    const look = looks.get(projection) ?? 0
    looks.set(projection, look + 1)
    return { json: async () => answer(projection, look) }
  }
  return { client: { query } } as unknown as Store
}

test('an hour that stays different is reported, and which projection it is', async () => {
  const store = storeThatAnswers(projection => [
    ['2026-05-01 12:00:00', projection === 'routes_by_hour' ? '9 calls' : '10 calls'],
    ['2026-05-01 11:00:00', '5 calls'],
  ])
  expect(await auditProjections(store)).toEqual([
    'routes_by_hour and the rows of calls disagree about the hour 2026-05-01 12:00:00',
  ])
})

test('an hour that one of the two lacks is reported', async () => {
  const store = storeThatAnswers(projection => (projection === 'usage_by_hour' ? [] : [['2026-05-01 12:00:00', '1']]))
  expect(await auditProjections(store)).toHaveLength(1)
})

test('rows that arrive while we look are no difference', async () => {
  const store = storeThatAnswers((projection, look) => [
    ['2026-05-01 12:00:00', `${projection === null && look === 0 ? 11 : 10} calls`],
  ])
  expect(await auditProjections(store)).toEqual([])
})
