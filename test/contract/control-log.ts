/**
 * That the control log may be trimmed below a snapshot, in each case of the log: whoever reads it then, or has been away
 * meanwhile, knows what whoever has read all of it does.
 */
import { pino } from 'pino'
import Value from 'typebox/value'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Control, openControl } from '../../analyzer/control/control.ts'
import { createLivePolicy } from '../../analyzer/control/live-policy.ts'
import { QuotaOptions } from '../../analyzer/policy/quota-options.ts'
import type { CallLog } from '../../collector/log/call-log.ts'
import { isSnapshotPiece } from '../../collector/log/control-change.ts'
import { findSnapshotOffset } from '../../collector/log/control-snapshot.ts'
import { openCallLog } from '../../collector/log/open.ts'
import type { LogUnderTest } from './call-log.ts'

const logger = pino({ level: 'silent' })
const waiting = { timeout: 30_000, interval: 50 }
/** Enough that a snapshot is due, in appends of so many at once. */
const CHANGES = 1_200
const APPENDED = 100
const CHECK_MS = 100

export function testControlLog(name: string, create: () => Promise<LogUnderTest>): void {
  let subject: LogUnderTest
  let nowMs: number
  let log: CallLog
  let opened: { close(): Promise<void> }[]

  const open = async (of: CallLog = log) => {
    const policy = createLivePolicy([], [])
    const control = await openControl({ log: of, logger, onChange: policy.fold })
    opened.push(control)
    return { control, policy }
  }
  const partition = async () => {
    const [found] = await log.partitions('control')
    if (!found) throw new Error('control has a partition')
    return found
  }
  const pace = (version: number) => {
    const value = { quota: 'daily', subject: { tenant: 'acme' }, amount: version + 1, untilMs: nowMs + 86_400_000 }
    const asked = { changeId: crypto.randomUUID(), atMs: nowMs, by: 'analyzer', reason: 'It would run out.' }
    const change = { kind: 'pace', key: 'daily:1', expectedVersion: version, version: version + 1, value, ...asked }
    return { key: 'pace:daily:1', value: JSON.stringify(change) }
  }
  const fill = async (from: number) => {
    for (let version = from; version < from + CHANGES; version += APPENDED) {
      await log.append(
        'control',
        Array.from({ length: APPENDED }, (_, index) => pace(version + index)),
      )
    }
  }
  /** What the writer of the store does when it has handled all there is. */
  const trimToSnapshot = async () => {
    nowMs += 2 * 3_600_000
    const { beginOffset } = await partition()
    const asOfOffset = await vi.waitFor(async () => {
      const found = await findSnapshotOffset(log, await partition())
      expect(found).toBeGreaterThan(beginOffset)
      return found ?? 0
    }, waiting)
    await log.trim(await partition(), asOfOffset)
    const trimmed = await partition()
    expect(trimmed.beginOffset).toBeGreaterThan(beginOffset)
    expect(trimmed.beginOffset).toBeLessThanOrEqual(asOfOffset)
  }
  const whatHolds = ({ control, policy }: Awaited<ReturnType<typeof open>>) => ({
    reason: control.unavailable(),
    pace: control.current('pace', 'daily:1'),
    tokens: control.tokens().map(token => token.name),
    grant: control.current('grant', 'more').version,
    quotas: policy.current().quotas.map(quota => quota.name),
  })
  const wish = (kind: 'quota' | 'grant', key: string, version: number, value: unknown) =>
    ({ ...{ kind, key, version, value }, by: 'admin', reason: null }) as const
  const quota = (named: string, limit: number) =>
    Value.Default(QuotaOptions, { name: named, unit: 'requests', limit, window: { kind: 'fixed', everySeconds: 60 } })
  const changeSome = async (control: Control) => {
    await control.change(wish('quota', 'hourly', 0, quota('hourly', 7)))
    await control.change(wish('quota', 'daily', 0, quota('daily', 8)))
    const secret = await control.createToken({ name: 'kong', scopes: ['check'], tenant: null, by: 'admin' })
    await control.createToken({ name: 'gone', scopes: ['check'], tenant: null, by: 'admin' })
    await control.revokeToken({ name: 'gone', by: 'admin', reason: null })
    await control.change(wish('grant', 'more', 0, { a: 1 }))
    await control.change(wish('grant', 'more', 1, null))
    await control.change(wish('quota', 'hourly', 1, quota('hourly', 9)))
    return secret
  }

  describe(`${name}: control log`, () => {
    beforeEach(async () => {
      subject = await create()
      nowMs = Date.now()
      const deps = { dir: subject.dir, log: logger, onLoss: (loss: unknown) => expect.fail(JSON.stringify(loss)) }
      log = await openCallLog(subject.options({ retentionSeconds: 3_600 }), { ...deps, now: () => nowMs })
      opened = [log]
    })
    afterEach(async () => {
      for (const each of opened.toReversed()) await each.close()
      await subject.remove()
    })

    test('who starts behind what was trimmed knows all that holds, and can change it', async () => {
      const first = await open()
      const secret = await changeSome(first.control)
      await fill(0)
      const writing = first.control.writeSnapshots({ checkMs: CHECK_MS })
      await trimToSnapshot()
      await writing.stop()
      const late = await open()
      await expect.poll(() => whatHolds(first)).toEqual(whatHolds(late))
      expect(whatHolds(late)).toMatchObject({
        ...{ reason: null, tokens: ['kong'], grant: 2, quotas: ['daily', 'hourly'] },
        pace: { version: CHANGES, value: { amount: CHANGES } },
      })
      expect(late.control.verifyToken(secret)).toMatchObject({ name: 'kong' })
      await expect(late.control.change(wish('grant', 'more', 0, { a: 2 }))).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
      })
      await late.control.change(wish('grant', 'more', 2, { a: 2 }))
      await expect.poll(() => first.control.current('grant', 'more')).toEqual({ version: 3, value: { a: 2 } })
    })

    test('who stood still while others trimmed is told of all that is different, and what was removed', async () => {
      const first = await open()
      await changeSome(first.control)
      let isStalled = false
      const read: CallLog['read'] = (...args) => {
        if (isStalled) throw new Error('stalled')
        return log.read(...args)
      }
      const stalled = await open({ ...log, read })
      isStalled = true
      await first.control.change(wish('quota', 'hourly', 2, null))
      await first.control.change(wish('quota', 'monthly', 0, quota('monthly', 10)))
      await first.control.revokeToken({ name: 'kong', by: 'admin', reason: null })
      await fill(0)
      const writing = first.control.writeSnapshots({ checkMs: CHECK_MS })
      await trimToSnapshot()
      await writing.stop()
      await expect.poll(() => stalled.control.unavailable()).toBe('stalled')
      expect(whatHolds(stalled)).toMatchObject({ tokens: ['kong'], quotas: ['daily', 'hourly'] })
      isStalled = false
      await expect.poll(() => whatHolds(stalled), waiting).toEqual(whatHolds(first))
      expect(whatHolds(stalled)).toMatchObject({ reason: null, tokens: [], quotas: ['daily', 'monthly'] })
    })

    test('two analyzers write snapshots at once, while changes go on and the log is trimmed again and again', async () => {
      const analyzers = [await open(), await open()]
      const [first, second] = analyzers.map(({ control }) => control) as [Control, Control]
      await changeSome(first)
      const writings = [first.writeSnapshots({ checkMs: CHECK_MS }), second.writeSnapshots({ checkMs: CHECK_MS })]
      for (let rounds = 0; rounds < 3; rounds++) {
        await fill(rounds * CHANGES)
        await first.change(wish('grant', `round${rounds}`, 0, { a: rounds }))
        await trimToSnapshot()
      }
      for (const writing of writings) await writing.stop()
      const { beginOffset } = await partition()
      expect(beginOffset).toBeGreaterThan(2 * CHANGES)
      const late = await open()
      const expected = { ...whatHolds(late), rounds: ['round0', 'round1', 'round2'] }
      expect(expected).toMatchObject({ reason: null, pace: { version: 3 * CHANGES }, tokens: ['kong'] })
      for (const each of [...analyzers, late]) {
        await expect
          .poll(() => ({ ...whatHolds(each), rounds: each.control.keys('grant').toSorted() }), waiting)
          .toEqual(expected)
      }
      const { entries } = await log.read('control', 0, beginOffset, 20_000)
      expect(entries.some(({ value }) => isSnapshotPiece(value))).toBe(true)
    }, 90_000)
  })
}
