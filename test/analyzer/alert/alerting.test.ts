/** Alerts on simulated time, over a real control log: who is told what, how often, and what a restart changes. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Alerting, type AlertingDeps, createAlerting } from '../../../analyzer/alert/alerting.ts'
import { type Channel, ChannelError, type Message } from '../../../analyzer/alert/channel.ts'
import type { AlertForecast } from '../../../analyzer/alert/judging.ts'
import { title } from '../../../analyzer/alert/words.ts'
import { type Control, openControl } from '../../../analyzer/control/control.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { keyOfSubject } from '../../../analyzer/usage/selection.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { openLog, silent } from '../limit/call-records.ts'
import { testQuota } from '../quotas.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const START_MS = Date.UTC(2026, 0, 5, 12)
const never = { p10: null, p50: null, p90: null }

let dir: string
let log: CallLog
let control: Control
let nowMs: number
let quotas: Quota[]
let newest: Map<string, AlertForecast>
/** What each channel has accepted, in its words. */
let told: Record<string, string[]>
let messages: Message[]
let failing: Set<string>
/** When those that fail say to come again. */
let retryAfterMs: number
/** Alerts that a channel takes at once. */
let noticesMax: number
/** Whom a channel takes no alerts of. */
let refused: string | null
let alerting: Alerting
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  log = await openLog(dir)
  control = await openControl({ log, logger: silent })
  nowMs = START_MS
  quotas = [testQuota({ name: 'q', per: ['consumer'], limit: 100, alerts: { used: [0.8, 0.95] } })]
  newest = new Map()
  told = { ops: [], chat: [] }
  messages = []
  failing = new Set()
  retryAfterMs = 0
  noticesMax = Number.POSITIVE_INFINITY
  refused = null
  alerting = start()
})
afterEach(async () => {
  await alerting.close()
  await control.close()
  await log.close()
  await rm(dir, { recursive: true, force: true })
})

function start(names = ['ops', 'chat'], isOwn: AlertingDeps['isOwn'] = () => true): Alerting {
  const channels = names.map(
    (name): Channel => ({
      ...{ name, kind: 'webhook' },
      async send(message) {
        if (failing.has(name)) throw new ChannelError(name, 'it answered 500', { retryAfterMs })
        if (message.notices.some(({ consumer }) => consumer === refused))
          throw new ChannelError(name, 'it answered 400', { isRefused: true })
        if (message.notices.length > noticesMax) throw new ChannelError(name, 'it answered 413', { isRefused: true })
        told[name]?.push(...message.notices.map(title))
        messages.push(message)
      },
    }),
  )
  const policy = () => createPolicy(quotas)
  return createAlerting({ control, policy, isOwn, channels, groupMs: 10_000, now: () => nowMs, logger: silent })
}

const heldAlerts = () => [...alerting.held().values()]
/** Alerts that a channel which works does not know of. */
const untold = () => heldAlerts().filter(alert => alert.untold.some(name => !failing.has(name)))

/** One tick, `afterMs` later, in which these subjects are forecast anew. */
async function tick(afterMs: number, subjects: Record<string, Partial<AlertForecast>> = {}, some = [alerting]) {
  nowMs += afterMs
  const windowStartMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS
  for (const [consumer, fields] of Object.entries(subjects)) {
    const { used = 0, limit = 100 } = fields
    const isReached = limit !== null && used >= limit
    newest.set(keyOfSubject([consumer]), {
      ...{ quota: 'q', subject: { consumer }, tenant: null, consumer, unit: 'requests', limit: 100, used: 0 },
      exhaustionAtMs: isReached ? { p10: nowMs, p50: nowMs, p90: nowMs } : never,
      ...{ probability: 0, confidence: 'normal', why: 'By its past.' },
      ...{ windowStartMs, windowEndMs: windowStartMs + HOUR_MS, asOfMs: nowMs },
      ...fields,
    })
  }
  const find = (quota: string, subject: readonly string[]) =>
    quota === 'q' ? newest.get(keyOfSubject(subject)) : undefined
  for (const one of some) await one.follow({ asOfMs: nowMs, forecasts: [...newest.values()], find })
}

/** The same, until all channels that work know everything. */
async function tickAndTell(...args: Parameters<typeof tick>) {
  await tick(...args)
  await expect.poll(untold).toEqual([])
}

describe('what is used up', () => {
  test('is told once at each share, and once when it is over', async () => {
    await tickAndTell(MINUTE_MS, { web: { used: 79 } })
    expect(told.ops).toEqual([])
    await tickAndTell(MINUTE_MS, { web: { used: 82 } })
    await tickAndTell(MINUTE_MS, { web: { used: 84 } })
    await tickAndTell(MINUTE_MS, { web: { used: 96 } })
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    const begun = ['web has used 80 % of q', 'web has used 95 % of q', 'web has run out of q']
    expect(told).toEqual({ ops: begun, chat: begun })
    // A new window.
    await tickAndTell(HOUR_MS, { web: { used: 3 } })
    const overAtMs = nowMs
    await tickAndTell(4 * MINUTE_MS, { web: { used: 5 } })
    expect(told.ops).toEqual(begun)
    await tickAndTell(MINUTE_MS, { web: { used: 6 } })
    expect(told.ops?.slice(3)).toEqual(['web has some of q left again'])
    expect(messages.at(-1)?.notices).toMatchObject([{ sinceMs: START_MS + 2 * MINUTE_MS, endedAtMs: overAtMs }])
    expect(heldAlerts()).toEqual([])
  })

  test('is told once, also where a later version has made the alert, and what that has noted of it stays', async () => {
    failing.add('chat')
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    const [key = ''] = control.keys('alert')
    const { version, value } = control.current('alert', key)
    const later = { ...(value as object), mood: 'bad' }
    await control.change({ kind: 'alert', key, version, value: later, by: 'test', reason: null })
    failing.clear()
    await tickAndTell(10 * MINUTE_MS, { web: { used: 100 } })
    expect(told).toEqual({ ops: ['web has run out of q'], chat: ['web has run out of q'] })
    expect(control.current('alert', key).value).toMatchObject({ mood: 'bad', untold: [] })
  })

  test('tells the worst only when it jumps over several', async () => {
    await tickAndTell(MINUTE_MS, { web: { used: 120 } })
    expect(told.ops).toEqual(['web has run out of q'])
  })

  test('goes on through windows that are shorter than it takes to be over', async () => {
    for (let minute = 0; minute < 20; minute++)
      await tickAndTell(MINUTE_MS, { web: { used: minute % 2 === 0 ? 100 : 0 } })
    expect(told.ops).toEqual(['web has run out of q'])
  })

  test('is told again at a share that it had sunk below', async () => {
    await tickAndTell(MINUTE_MS, { web: { used: 95 } })
    await tickAndTell(MINUTE_MS, { web: { used: 90 } })
    await tickAndTell(MINUTE_MS, { web: { used: 95 } })
    expect(told.ops).toEqual(['web has used 95 % of q'])
    // A grant.
    await tickAndTell(MINUTE_MS, { web: { used: 100, limit: 120 } })
    await tickAndTell(MINUTE_MS, { web: { used: 115, limit: 120 } })
    expect(told.ops).toEqual(['web has used 95 % of q', 'web has used 95 % of q'])
  })
})

describe('what will probably be used up', () => {
  const likely = { used: 40, probability: 0.8 }

  test('is told when it has lasted for a sixtieth of the window, and when it is over', async () => {
    await tickAndTell(MINUTE_MS, { web: likely })
    await tickAndTell(MINUTE_MS - 1, { web: likely })
    expect(told.ops).toEqual([])
    await tickAndTell(1, { web: likely })
    expect(told.ops).toEqual(['web will probably run out of q'])
    await tickAndTell(MINUTE_MS, { web: { used: 41, probability: 0.4 } })
    await tickAndTell(10 * MINUTE_MS, { web: { used: 41, probability: 0.4 } })
    expect(told.ops).toHaveLength(1)
    await tickAndTell(MINUTE_MS, { web: { used: 41, probability: 0.1 } })
    await tickAndTell(5 * MINUTE_MS, { web: { used: 41, probability: 0.1 } })
    expect(told.ops).toEqual(['web will probably run out of q', 'web will probably not run out of q any more'])
  })

  test('is told, and said to be over, though the clock was set back while that had to last', async () => {
    const probable = { probability: 0.9 }
    await tickAndTell(MINUTE_MS, { web: probable })
    await tickAndTell(-2 * HOUR_MS, { web: probable })
    await tickAndTell(MINUTE_MS, { web: probable })
    expect(told.ops).toHaveLength(1)
    await tickAndTell(MINUTE_MS, { web: { probability: 0 } })
    await tickAndTell(-2 * HOUR_MS, { web: { probability: 0 } })
    await tickAndTell(5 * MINUTE_MS, { web: { probability: 0 } })
    expect(told.ops).toHaveLength(2)
  })

  test('is no alarm for a short burst', async () => {
    for (let turn = 0; turn < 10; turn++) {
      await tickAndTell(30_000, { web: likely })
      await tickAndTell(20_000, { web: { used: 40, probability: 0.6 } })
    }
    expect(told.ops).toEqual([])
  })

  test('becomes what it promised, and is not told to be over', async () => {
    await tick(MINUTE_MS, { web: likely })
    await tickAndTell(MINUTE_MS, { web: likely })
    await tickAndTell(MINUTE_MS, { web: { used: 100, probability: 1 } })
    await tickAndTell(10 * MINUTE_MS, { web: { used: 100, probability: 1 } })
    expect(told.ops).toEqual(['web will probably run out of q', 'web has run out of q'])
    expect(heldAlerts().map(({ rule }) => rule)).toEqual(['used'])
  })
})

describe('whoever tells', () => {
  test('keeps who knows of each state, and who does not', async () => {
    const known = () => heldAlerts().map(alert => [alert.told, alert.untold])
    failing.add('chat')
    await tickAndTell(MINUTE_MS, { web: { used: 82 } })
    expect(known()).toEqual([[['ops'], ['chat']]])
    failing.clear()
    await tickAndTell(5 * MINUTE_MS)
    expect(known()).toEqual([[['ops', 'chat'], []]])
    failing.add('ops').add('chat')
    await tick(MINUTE_MS, { web: { used: 100 } })
    expect(known()).toEqual([[[], ['ops', 'chat']]])
    expect(messages.flatMap(({ notices }) => notices.flatMap(Object.keys))).not.toContain('told')
  })

  test('tells nothing twice after a restart, and forgets nothing', async () => {
    failing.add('chat')
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    expect(told).toEqual({ ops: ['web has run out of q'], chat: [] })
    await alerting.close()
    failing.clear()
    alerting = start()
    await tickAndTell(MINUTE_MS)
    expect(told).toEqual({ ops: ['web has run out of q'], chat: ['web has run out of q'] })
  })

  test('tells again under the same ids what was accepted just before it died', async () => {
    const { change } = control
    control.change = async wish => {
      if (wish.reason?.startsWith('Told')) throw new Error('the log is away')
      return change(wish)
    }
    await tick(MINUTE_MS, { web: { used: 100 } })
    await expect.poll(() => messages.length).toBe(2)
    await alerting.close()
    control.change = change
    alerting = start()
    await tickAndTell(MINUTE_MS)
    expect(told.ops).toEqual(['web has run out of q', 'web has run out of q'])
    expect(new Set(messages.map(({ id }) => id)).size).toBe(1)
    expect(new Set(messages.flatMap(({ notices }) => notices.map(({ id }) => id))).size).toBe(1)
  })

  test('tells nothing again while the control log is away', async () => {
    const { change } = control
    control.change = async wish => {
      if (wish.reason?.startsWith('Told')) throw new Error('the log is away')
      return change(wish)
    }
    for (let turn = 0; turn < 10; turn++) await tick(MINUTE_MS, { web: { used: 100 } })
    await expect.poll(() => told).toEqual({ ops: ['web has run out of q'], chat: ['web has run out of q'] })
    control.change = change
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    expect(messages).toHaveLength(2)
  })

  test('shares the work with another analyzer, and one of them tells', async () => {
    const other = start()
    await tick(MINUTE_MS, { web: { used: 100 } }, [alerting])
    await expect.poll(untold).toEqual([])
    await tickAndTell(MINUTE_MS, { web: { used: 100 } }, [other, alerting])
    expect(told.ops).toEqual(['web has run out of q'])
    await other.close()
  })

  test('leaves those alone whom another analyzer follows', async () => {
    failing.add('ops')
    failing.add('chat')
    await tick(MINUTE_MS, { web: { used: 100 } })
    const other = start(['ops', 'chat'], () => false)
    newest.clear()
    failing.clear()
    await tick(MINUTE_MS, { app: { used: 1 } }, [other])
    expect(told.ops).toEqual([])
    expect(heldAlerts()).toHaveLength(1)
    await other.close()
  })

  test('forgets nobody whom another analyzer follows, however many windows it lasts', async () => {
    const other = start(['ops', 'chat'], () => false)
    for (let turn = 0; turn < 6; turn++) {
      await tickAndTell(HOUR_MS, { web: { used: 100 } })
      await other.follow({ asOfMs: nowMs, forecasts: [], find: () => undefined })
    }
    expect(told.ops).toEqual(['web has run out of q'])
    await other.close()
  })

  test('tells nothing again of a subject that could not be read for a while', async () => {
    for (let turn = 0; turn < 4; turn++) await tickAndTell(HOUR_MS, { web: { used: 100 } })
    newest.clear()
    await tick(MINUTE_MS)
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    expect(told.ops).toEqual(['web has run out of q'])
  })

  test('tries a channel that fails less and less often, and the others as ever', async () => {
    failing.add('ops')
    let failures = 0
    const consumers: Record<string, Partial<AlertForecast>> = {}
    for (let turn = 0; turn < 60; turn++) {
      consumers[`c${turn}`] = { used: 100 }
      const before = alerting.channels().find(({ name }) => name === 'ops')?.failure
      await tickAndTell(10_000, consumers)
      if (before === null) failures++
    }
    expect(failures).toBeLessThan(3)
    expect(told.chat).toHaveLength(60)
    expect(alerting.channels()).toMatchObject([
      {
        ...{ name: 'ops', kind: 'webhook', toldAtMs: null, failedAtMs: expect.any(Number) },
        failure: 'The channel ops did not accept the message: it answered 500.',
      },
      { name: 'chat', toldAtMs: nowMs, failedAtMs: null, failure: null },
    ])
    failing.clear()
    const { failedAtMs } = alerting.channels()[0] ?? {}
    expect(nowMs - (failedAtMs ?? 0)).toBeLessThan(5 * MINUTE_MS)
    await tickAndTell(5 * MINUTE_MS)
    expect(told.ops).toHaveLength(60)
    expect(alerting.channels()[0]).toMatchObject({ toldAtMs: nowMs, failedAtMs, failure: null })
  })

  test('asks a channel that says when to come again no sooner, and after an hour in any case', async () => {
    failing.add('ops')
    retryAfterMs = 20 * MINUTE_MS
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    const { failedAtMs } = alerting.channels()[0] ?? {}
    expect(failedAtMs).toBe(nowMs)
    retryAfterMs = 24 * HOUR_MS
    await tickAndTell(19 * MINUTE_MS, { web: { used: 100 } })
    expect(alerting.channels()[0]?.failedAtMs).toBe(failedAtMs)
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    await expect.poll(() => alerting.channels()[0]?.failedAtMs).toBe(nowMs)
    failing.clear()
    await tickAndTell(HOUR_MS, { web: { used: 100 } })
    expect(told.ops).toEqual(['web has run out of q'])
  })

  test('gathers what happens within the time of a group, and sends at most a hundred at once', async () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`c${index}`, { used: 100 }]))
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    await tick(1_000, many(30))
    await tick(1_000, many(40))
    expect(messages).toHaveLength(2)
    await tickAndTell(8_000, many(40))
    expect(messages.map(({ notices }) => notices.length)).toEqual([1, 1, 40, 40])
    await vi.waitFor(async () => {
      await tick(10_000, many(250))
      expect(told.ops).toHaveLength(251)
    }, 30_000)
    expect(Math.max(...messages.map(({ notices }) => notices.length))).toBe(100)
  })

  test('is told though the clock was set back since a channel was told of something, or failed', async () => {
    failing.add('chat')
    await tickAndTell(MINUTE_MS, { web: { used: 85 } })
    failing.clear()
    await tickAndTell(-2 * HOUR_MS, { app: { used: 85 } })
    expect(told).toEqual({
      ops: ['web has used 80 % of q', 'app has used 80 % of q'],
      chat: ['web has used 80 % of q', 'app has used 80 % of q'],
    })
    // And gathered again from then on.
    await tick(1_000, { third: { used: 85 } })
    await tick(1_000)
    expect(messages).toHaveLength(3)
  })

  test('sends less at once to a channel that finds a message too large, and then all of it', async () => {
    noticesMax = 3
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`c${index}`, { used: 100 }]))
    await vi.waitFor(async () => {
      await tick(MINUTE_MS, many)
      expect(told.ops).toHaveLength(20)
    }, 10_000)
    expect(new Set(told.ops).size).toBe(20)
    expect(messages.map(({ notices }) => notices.length)).toContain(2)
  })

  test('tells a channel that refuses one alert of all others, and of more at once again', async () => {
    refused = 'c0'
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`c${index}`, { used: 100 }]))
    await vi.waitFor(async () => {
      await tick(MINUTE_MS, many)
      expect(untold()).toMatchObject([{ consumer: 'c0' }])
    }, 10_000)
    expect(told.ops).toHaveLength(19)
    refused = null
    const more = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`d${index}`, { used: 100 }]))
    await vi.waitFor(async () => {
      await tick(5 * MINUTE_MS, more)
      expect(told.ops).toHaveLength(40)
    }, 10_000)
    expect(Math.max(...messages.slice(-4).map(({ notices }) => notices.length))).toBeGreaterThan(4)
  })

  test('puts what is used up before what may be', async () => {
    await tickAndTell(MINUTE_MS, { maybe: { used: 50, probability: 0.99 }, some: { used: 80 } })
    failing.add('ops').add('chat')
    await tick(MINUTE_MS, { maybe: { used: 50, probability: 0.99 }, all: { used: 100 }, some: { used: 80 } })
    failing.clear()
    await tickAndTell(MINUTE_MS)
    expect(messages.at(-1)?.notices.map(title)).toEqual(['all has run out of q', 'maybe will probably run out of q'])
  })
})

describe('who is told', () => {
  test('the channels that the quota names, and nobody of a quota that names none', async () => {
    quotas = [testQuota({ name: 'q', per: ['consumer'], limit: 100, alerts: { channels: ['chat'] } })]
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    expect(told).toEqual({ ops: [], chat: ['web has run out of q'] })
    quotas = [testQuota({ name: 'q', per: ['consumer'], limit: 100, alerts: { channels: [] } })]
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    await tick(MINUTE_MS, { web: { used: 100 } })
    expect(heldAlerts()).toEqual([])
    expect(told).toEqual({ ops: [], chat: ['web has run out of q', 'q is not watched for web any more'] })
  })

  test('of the end, whoever was told of the begin, also where the quota names others by then', async () => {
    const naming = (channels: string[]) => [
      testQuota({ name: 'q', per: ['consumer'], limit: 100, alerts: { channels } }),
    ]
    quotas = naming(['ops'])
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    quotas = naming(['chat'])
    await tickAndTell(MINUTE_MS, { web: { used: 0 } })
    await tickAndTell(5 * MINUTE_MS, { web: { used: 0 } })
    expect(told).toEqual({ ops: ['web has run out of q', 'web has some of q left again'], chat: [] })
  })

  test('of the end, whoever was told of the begin, also where it never heard that it rose', async () => {
    await tickAndTell(MINUTE_MS, { web: { used: 80 } })
    failing.add('chat')
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    await tickAndTell(HOUR_MS, { web: { used: 0 } })
    await tickAndTell(5 * MINUTE_MS, { web: { used: 0 } })
    failing.clear()
    await tickAndTell(HOUR_MS, { web: { used: 0 } })
    expect(told.chat).toEqual(['web has used 80 % of q', 'web has some of q left again'])
  })

  test('nobody of a rate, which is used up whenever somebody is fast', async () => {
    quotas = [testQuota({ name: 'q', per: ['consumer'], limit: 100, window: { kind: 'rate', everySeconds: 60 } })]
    await tick(MINUTE_MS, { web: { used: 100 } })
    expect(heldAlerts()).toEqual([])
  })

  test('nobody while it is silenced, and whoever should when that ends', async () => {
    const silence = { quota: 'q', subject: { consumer: 'web' }, untilMs: START_MS + HOUR_MS / 2 }
    await control.change({ kind: 'silence', key: 's', version: 0, value: silence, by: 'test', reason: null })
    await tick(MINUTE_MS, { web: { used: 100 }, app: { used: 100 } })
    await expect.poll(() => untold().map(({ consumer }) => consumer)).toEqual(['web'])
    expect(told.ops).toEqual(['app has run out of q'])
    const silencedUntil = alerting.silencedUntil()
    expect(heldAlerts().map(alert => [alert.consumer, silencedUntil(alert)])).toEqual([
      ['web', silence.untilMs],
      ['app', null],
    ])
    const later = { quota: null, subject: null, untilMs: silence.untilMs + 1 }
    await control.change({ kind: 'silence', key: 't', version: 0, value: later, by: 'test', reason: null })
    expect(heldAlerts().map(alerting.silencedUntil())).toEqual([later.untilMs, later.untilMs])
    await control.change({ kind: 'silence', key: 't', version: 1, value: null, by: 'test', reason: null })
    await tickAndTell(HOUR_MS / 2, { web: { used: 100 }, app: { used: 100 } })
    expect(told.ops).toEqual(['app has run out of q', 'web has run out of q'])
  })

  test('nobody of what began and ended in silence', async () => {
    const silence = { quota: null, subject: null, untilMs: START_MS + HOUR_MS }
    await control.change({ kind: 'silence', key: 's', version: 0, value: silence, by: 'test', reason: null })
    await tick(MINUTE_MS, { web: { used: 100 } })
    await tick(MINUTE_MS, { web: { used: 0 } })
    await tick(5 * MINUTE_MS, { web: { used: 0 } })
    expect(heldAlerts()).toEqual([])
    await tickAndTell(HOUR_MS, { web: { used: 0 } })
    expect(messages).toEqual([])
  })

  test('nobody where there is no channel: nothing is kept', async () => {
    await alerting.close()
    alerting = start([])
    await tick(MINUTE_MS, { web: { used: 100 } })
    expect(heldAlerts()).toEqual([])
  })

  test('whoever knows of a subject that nothing is known of any more, an hour after its window', async () => {
    await tickAndTell(MINUTE_MS, { web: { used: 100 } })
    newest.clear()
    await tickAndTell(HOUR_MS)
    await tickAndTell(HOUR_MS - 1)
    expect(told.ops).toEqual(['web has run out of q'])
    failing.add('chat')
    await tickAndTell(1)
    expect(heldAlerts()).toMatchObject([{ endedAtMs: START_MS + MINUTE_MS + HOUR_MS, untold: ['chat'] }])
    failing.clear()
    await tickAndTell(HOUR_MS)
    expect(heldAlerts()).toEqual([])
    const both = ['web has run out of q', 'web has some of q left again']
    expect(told).toEqual({ ops: both, chat: both })
    expect(messages.at(-1)?.notices).toMatchObject([
      { probability: null, why: 'Nothing is known of its use any more.' },
    ])
  })

  test('of a quota that is gone, whoever knows of it, at once and by one of several analyzers', async () => {
    // Of what has no quota, its name says whose it is.
    const other = start(['ops', 'chat'], ({ per }) => per.length > 0)
    const both = [other, alerting]
    failing.add('chat')
    await tickAndTell(MINUTE_MS, { app: { used: 100 } }, [other])
    quotas = []
    await tickAndTell(10_000, {}, both)
    expect(told).toEqual({ ops: ['app has run out of q', 'q is not watched for app any more'], chat: [] })
    expect(messages.at(-1)?.notices).toMatchObject([
      { endedAtMs: nowMs, probability: null, isDropped: true, why: 'The quota is gone.' },
    ])
    await tick(10_000, {}, both)
    expect(heldAlerts()).toEqual([])
    await other.close()
  })
})
