import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Control, openControl } from '../../../analyzer/control/control.ts'
import type { Wish } from '../../../analyzer/control/fold.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { parseControlChange } from '../../../collector/log/control-change.ts'
import { openCallLog } from '../../../collector/log/open.ts'

const logger = pino({ level: 'silent' })
let dir: string
let log: CallLog
let opened: { close(): Promise<void> }[]

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  log = await openCallLog(
    { kind: 'embedded', retentionSeconds: 3600, sizeBytesMax: 2 ** 28 },
    { dir, log: logger, onLoss: loss => expect.fail(JSON.stringify(loss)) },
  )
  opened = [log]
})
afterEach(async () => {
  for (const each of opened.toReversed()) await each.close()
  rmSync(dir, { recursive: true, force: true })
})

/** As one role does; a second one has the same log. */
async function open(): Promise<Control> {
  const control = await openControl({ log, logger })
  opened.push(control)
  return control
}

const wish = (version: number, value: unknown): Wish => ({
  kind: 'quota_config',
  key: 'a',
  version,
  value,
  by: 'test',
  reason: null,
})

test('of two changes that expect the same version one holds and the other is told', async () => {
  const [one, other] = [await open(), await open()]
  const outcomes = await Promise.allSettled([one.change(wish(0, 1)), other.change(wish(0, 2))])
  expect(outcomes.map(outcome => outcome.status).sort()).toEqual(['fulfilled', 'rejected'])
  expect(outcomes.find(outcome => outcome.status === 'rejected')).toMatchObject({
    reason: { code: 'VERSION_CONFLICT', statusCode: 409 },
  })
})

test('a token is verified until it is revoked, in every role, after a restart too, and its name can be taken again', async () => {
  const [one, other] = [await open(), await open()]
  const request = { name: 'kong', scopes: ['ingest', 'check'], tenant: 'acme', by: 'admin' } as const
  const secret = await one.createToken(request)
  const principal = { name: 'kong', scopes: new Set(['ingest', 'check']), tenant: 'acme' }
  expect(one.verifyToken(secret)).toEqual(principal)
  expect(one.verifyToken(`${secret}x`)).toBeNull()
  await expect.poll(() => other.verifyToken(secret)).toEqual(principal)
  expect((await open()).verifyToken(secret)).toEqual(principal)
  expect(JSON.stringify(one.tokens())).not.toContain(secret)
  await expect(one.createToken(request)).rejects.toMatchObject({ code: 'ALREADY_EXISTS', statusCode: 409 })
  await expect(one.createToken({ ...request, name: 'no spaces' })).rejects.toMatchObject({
    code: 'VALUE_INVALID',
  })
  await one.revokeToken({ name: 'kong', by: 'admin', reason: null })
  expect(one.verifyToken(secret)).toBeNull()
  await expect.poll(() => other.verifyToken(secret)).toBeNull()
  await expect(one.revokeToken({ name: 'kong', by: 'admin', reason: null })).rejects.toMatchObject({
    code: 'NOT_FOUND',
  })
  const next = await one.createToken({ ...request, tenant: null })
  expect(one.verifyToken(next)?.tenant).toBeNull()
  expect((await open()).tokens()).toHaveLength(1)
})

test('what cannot be read is stepped over, and a forged version changes nothing', async () => {
  const control = await open()
  await control.change(wish(0, 'first'))
  await log.append('control', [
    { key: 'x', value: '{"no":"change"}' },
    { key: 'x', value: 'not even JSON' },
  ])
  await control.change(wish(1, 'second'))
  const again = await open()
  await again.change(wish(2, null))
  await expect(control.change(wish(2, 'late'))).rejects.toMatchObject({ code: 'VERSION_CONFLICT' })
})

test('configured quotas are recorded once, again when they differ, and as removed when they are gone', async () => {
  const control = await open()
  const quota = { name: 'a', limit: 1 } as never
  const changed = { limit: 2, name: 'a' } as never
  const record = async (quotas: never[]) => {
    const before = await changes(log)
    const recording = control.recordQuotas(quotas)
    await recording.done
    await recording.stop()
    return (await changes(log)).slice(before.length).map(({ version, value }) => [version, value === null])
  }
  expect(await record([quota])).toEqual([[1, false]])
  expect(await record([{ limit: 1, name: 'a' } as never])).toEqual([])
  expect(await record([changed])).toEqual([[2, false]])
  expect(await record([])).toEqual([[3, true]])
})

async function changes(log: CallLog) {
  const { entries } = await log.read('control', 0, 0, 1000)
  return entries.flatMap(({ value }) => parseControlChange(value) ?? [])
}

test('a log that takes its time fails the change that waits for it, and nothing else', async () => {
  const taken = Promise.withResolvers<void>()
  const control = await openControl({ log: { ...log, append: () => taken.promise }, logger })
  opened.push(control)
  const unhandled: unknown[] = []
  const onUnhandled = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', onUnhandled)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const changed = control.change(wish(0, { a: 1 })).catch((error: unknown) => error)
    vi.advanceTimersByTime(10_001)
    await new Promise(resolve => setImmediate(resolve))
    taken.resolve()
    expect(await changed).toMatchObject({ code: 'NOT_FOLDED' })
    expect(unhandled).toEqual([])
  } finally {
    vi.useRealTimers()
    process.off('unhandledRejection', onUnhandled)
  }
})
