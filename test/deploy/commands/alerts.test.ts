import { expect, test } from 'vitest'
import { fakeAnalyzer } from './fake-analyzer.ts'

let isConfigured = true
/** Of alerts, by their titles. */
let pages: string[][] = [[]]
const pageAt = (cursor: string | null) => {
  const page = Number(cursor ?? 0)
  const alerts = (pages[page] ?? []).map(title => ({ title, sinceMs: 0, isSilenced: false }))
  return { alerts, nextCursor: page + 1 < pages.length ? `${page + 1}` : null }
}
/** One quota. */
const run = fakeAnalyzer(({ pathname, searchParams }) =>
  pathname === '/v1/quotas'
    ? { quotas: [{ key: 'hourly' }], nextCursor: null }
    : { isConfigured, total: pages.flat().length, ...pageAt(searchParams.get('cursor')) },
)

test('without a channel nothing is watched, which is not the same as nothing to tell', async () => {
  isConfigured = true
  expect((await run('alerts')).stdout).toBe('There is nothing that somebody should know.\n')
  isConfigured = false
  const { code, stdout } = await run('alerts')
  expect(code).toBe(0)
  expect(stdout).toBe(
    'No alerts are kept: `alerts.channels` of the config names nobody to tell. What may run out is shown by `forecast`.\n',
  )
})

test('a quota that there is not is told', async () => {
  isConfigured = true
  const { code, stderr } = await run('alerts', '--quota', 'houry')
  expect(stderr).toContain('there is no quota houry; known are hourly')
  expect(code).toBe(2)
})

test('all pages are shown', async () => {
  pages = [['first', 'second'], ['third']]
  const { stdout } = await run('alerts')
  expect(stdout.match(/first|second|third/g)).toEqual(['first', 'second', 'third'])
  const { alerts, ...counts } = JSON.parse((await run('alerts', '--json')).stdout)
  expect(alerts).toHaveLength(3)
  expect(counts).toEqual({ isConfigured: true, total: 3 })
  pages = [[]]
})
