import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import pino from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openCallLog } from '../../../collector/log/open.ts'
import { openStore } from '../../../collector/store/open.ts'
import { startStoring } from '../../../collector/store/storing.ts'
import { freePorts } from '../../free-ports.ts'
import { LOG_OPTIONS } from './log-options.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quotacast-storing-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('a store that is not there yet is waited for, which is told in one line', async () => {
  const lines: Record<string, unknown>[] = []
  const logger = pino(
    new Writable({
      write(chunk, _encoding, done) {
        lines.push(JSON.parse(String(chunk)))
        done()
      },
    }),
  )
  const silent = pino({ level: 'silent' })
  const [port = 0] = await freePorts(1)
  const store = await openStore(
    { kind: 'clickhouse', url: `http://127.0.0.1:${port}`, username: 'default', password: '', database: 'quotacast' },
    { dir, log: silent },
  )
  const tries = vi.spyOn(store, 'createDatabase')
  const log = await openCallLog(LOG_OPTIONS, { dir, log: silent, onLoss: () => undefined })
  const storing = startStoring({
    log,
    store,
    labelColumns: [],
    auditRetentionSeconds: 400 * 86_400,
    logger,
    now: Date.now,
  })
  await expect.poll(() => tries.mock.calls.length).toBeGreaterThan(3)
  expect(lines).toEqual([expect.objectContaining({ level: 30, reason: expect.stringContaining('ECONNREFUSED') })])
  expect(lines[0]).not.toHaveProperty('err')
  expect(storing.readiness()).toEqual([expect.stringContaining('ECONNREFUSED')])
  await storing.close()
  await log.close()
  await store.close()
})
