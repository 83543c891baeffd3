import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { prepareQuotacast } from '../e2e/quotacast.ts'

const START_MS = 60_000

test('a role that cannot read the control log is as ready as before, and says so', {
  timeout: 2 * START_MS,
}, async () => {
  const quotacast = await prepareQuotacast()
  const inTheWay = join(quotacast.dir, 'log', 'control')
  mkdirSync(join(quotacast.dir, 'log'), { recursive: true })
  writeFileSync(inTheWay, '')
  const limiter = await quotacast.serve('limiter')
  const readiness = async () => {
    const { status, body } = await quotacast.get('limiter', '/readyz')
    return { status, ...body }
  }
  try {
    await expect
      .poll(() => readiness().catch(() => null), { timeout: START_MS })
      .toEqual({
        status: 200,
        isReady: true,
        reasons: [
          expect.stringMatching(/^changes at run time .* until the control log can be read: .*cannot be opened/),
        ],
      })
    rmSync(inTheWay)
    await expect.poll(readiness, { timeout: START_MS }).toEqual({ status: 200, isReady: true, reasons: [] })
  } finally {
    await limiter.stop()
    quotacast.remove()
  }
})
