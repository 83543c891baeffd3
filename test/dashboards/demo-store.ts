/** A store with the demo's calls, decisions, rejections, forecasts and changes in it, filled by the product's own code. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import pino from 'pino'
import { openControl } from '../../analyzer/control/control.ts'
import { parseQuota } from '../../analyzer/policy/quota.ts'
import { openCallLog } from '../../collector/log/open.ts'
import { startStoring } from '../../collector/store/storing.ts'
import { STORE_DATABASE } from '../../collector/store/tables.ts'
import { loadConfig } from '../../deploy/config.ts'
import { fillLog } from '../../deploy/demo/fill.ts'
import { floorMinute } from '../../deploy/demo/folder.ts'
import { keepPastForecasts } from '../../deploy/demo/forecast-history.ts'
import { openTestStore, type TestStore } from '../store-fixture.ts'

const DAY_MS = 86_400_000
/** Enough for windows of a day to end, and for a week-day and a week-end. */
const DAYS = 5
const POLL_MS = 50
const DEMO_CONFIG = new URL('../../deploy/demo/demo.yaml', import.meta.url).pathname

export interface DemoStore {
  store: TestStore
  /** As Grafana sees it: reads only. */
  grafana: ClickHouseClient
  /** When all of it was there. */
  nowMs: number
  close(): Promise<void>
}

export async function openDemoStore(): Promise<DemoStore> {
  const store = await openTestStore()
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-demo-'))
  const logger = pino({ level: 'silent' })
  const config = await loadConfig({ file: DEMO_CONFIG, dataDir: dir, environment: {} })
  const quotas = config.quotas.map(quota => parseQuota(quota, config.labels))
  const log = await openCallLog(config.log, { dir, log: logger, onLoss: () => undefined })
  const storing = startStoring({
    log,
    store: store.store,
    labelColumns: config.labels,
    auditRetentionSeconds: 400 * 86_400,
    logger,
    now: Date.now,
  })
  const originMs = Date.now()
  const toMs = floorMinute(originMs)
  const { signal } = new AbortController()
  await fillLog(
    { fromMs: toMs - DAYS * DAY_MS, toMs, originMs },
    { config, quotas, fingerprintKeys: ['k'.repeat(32)], log, logger, signal },
  )
  const control = await openControl({ log, onChange: () => undefined, logger })
  await control.recordQuotas(config.quotas).done
  const ended = { kind: 'block', key: 'over', version: 0, value: null, reason: 'It has ended.' } as const
  await control.change({ ...ended, by: 'analyzer' })
  const untilStored = async () => {
    for (;;) {
      const lag = await storing.lag()
      if (lag.length > 0 && lag.every(({ entries }) => entries === 0)) return
      await sleep(POLL_MS)
    }
  }
  await untilStored()
  await keepPastForecasts(store.store, quotas, { fromMs: 0, toMs: originMs })
  const credentials = JSON.parse(await readFile(join(store.dir, 'credentials.json'), 'utf8')) as { grafana: string }
  const grafana = createClient({
    url: store.store.url,
    username: 'grafana',
    password: credentials.grafana,
    database: STORE_DATABASE,
    log: { level: ClickHouseLogLevel.OFF },
  })
  return {
    store,
    grafana,
    nowMs: Date.now(),
    async close() {
      await grafana.close()
      await storing.close()
      await control.close()
      await log.close()
      await store.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
