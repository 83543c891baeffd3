import { expect, test } from 'vitest'
import { fakeAnalyzer } from './fake-analyzer.ts'

let isConfigured = true
/** One quota, without alerts. */
const run = fakeAnalyzer(({ pathname }) =>
  pathname === '/v1/quotas'
    ? { quotas: [{ key: 'hourly' }], nextCursor: null }
    : { isConfigured, total: 0, alerts: [] },
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
