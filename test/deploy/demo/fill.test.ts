/** The demo is filled in parts: when it first starts, while it starts, and when it starts again. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseQuota } from '../../../analyzer/policy/quota.ts'
import { parseCallRecord } from '../../../collector/call-record.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { loadConfig } from '../../../deploy/config.ts'
import { MINUTE_MS } from '../../../deploy/demo/calls.ts'
import { fillLog } from '../../../deploy/demo/fill.ts'
import { silent } from '../../analyzer/limit/call-records.ts'

/** When the leaked key has used up the hour. */
const TO_MS = Date.UTC(2026, 10, 20, 15, 40)
const DEMO_CONFIG = new URL('../../../deploy/demo/demo.yaml', import.meta.url).pathname

async function leakedTokensOfHour(log: CallLog): Promise<number> {
  const { entries } = await log.read('calls', 0, 0, 10_000)
  return entries
    .map(({ value }) => parseCallRecord(value))
    .filter(record => record?.consumer === 'demo-leak-key' && record.startedAtMs >= TO_MS - 40 * MINUTE_MS)
    .reduce((sum, record) => sum + (record?.totalTokens ?? 0), 0)
}

test('what is filled later is decided by all that was used before', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const config = await loadConfig({ file: DEMO_CONFIG, dataDir: dir, environment: {} })
  const log = await openCallLog(config.log, { dir, log: silent, onLoss: () => undefined })
  try {
    const quotas = config.quotas.map(quota => parseQuota(quota, config.labels))
    const deps = { config, quotas, fingerprintKeys: ['k'.repeat(32)], log, logger: silent }
    const fill = (fromMs: number, toMs: number) =>
      fillLog({ fromMs, toMs, originMs: TO_MS }, { ...deps, signal: new AbortController().signal })
    await fill(TO_MS - 60 * MINUTE_MS, TO_MS - 3 * MINUTE_MS)
    await fill(TO_MS - 3 * MINUTE_MS, TO_MS)
    const tokens = await leakedTokensOfHour(log)
    expect(tokens).toBeGreaterThan(100_000)
    expect(tokens).toBeLessThanOrEqual(120_000)
  } finally {
    await log.close()
    await rm(dir, { recursive: true, force: true })
  }
})
