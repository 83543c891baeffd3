/** The page of alerts in a real browser: who is told of what, silences, channels, and what who may not change it sees. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Alert } from '../../../analyzer/alert/alert.ts'
import { createAlerting } from '../../../analyzer/alert/alerting.ts'
import { type Channel, ChannelError } from '../../../analyzer/alert/channel.ts'
import type { AlertForecast } from '../../../analyzer/alert/judging.ts'
import { createAlertRoutes } from '../../../analyzer/api/alerts.ts'
import type { EndedAlertsAnswer } from '../../../analyzer/api/ended-alerts.ts'
import { createPolicyRoutes } from '../../../analyzer/api/policy.ts'
import { type Control, openControl } from '../../../analyzer/control/control.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import type { Routes } from '../../../collector/principal.ts'
import { subjectLink } from '../../../dashboards/console/router.ts'
import { principalOf } from '../../../deploy/http-access.ts'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast } from '../api/forecast-fixture.ts'
import { openLog, silent } from '../limit/call-records.ts'
import { testQuota } from '../quotas.ts'
import { type ConsoleServer, openConsole, serveConsole } from './console-server.ts'

const HOUR_MS = 3_600_000
const WAIT_MS = 30_000
const quota = testQuota({ name: 'q', per: ['tenant', 'consumer'], limit: 100, alerts: { used: [0.8] } })
const policy = () => createPolicy([quota])

/** What of a subject's limit is used up is told, of 100 requests in an hour that has begun half an hour ago. */
function used(consumer: string, amount: number, tenant = 'acme'): AlertForecast {
  const nowMs = Date.now()
  const reached = amount >= 100 ? nowMs : null
  return {
    ...{ quota: 'q', subject: { tenant, consumer }, tenant, consumer, unit: 'requests', used: amount, limit: 100 },
    exhaustionAtMs: { p10: reached, p50: reached, p90: reached },
    ...{ probability: 0.1, confidence: 'normal', why: 'By its past.' },
    ...{ windowStartMs: nowMs - HOUR_MS / 2, windowEndMs: nowMs + HOUR_MS / 2, asOfMs: nowMs },
  }
}

describeWith(chromiumChecks, 'the page of alerts', () => {
  let browser: Browser
  let dir: string
  let log: CallLog
  let control: Control
  let failing: Set<string>
  let ended: EndedAlertsAnswer['alerts']
  let server: ConsoleServer
  let closing: (() => Promise<unknown>)[]
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
    log = await openLog(dir)
    control = await openControl({ log, logger: silent })
    failing = new Set()
    ended = []
    closing = [() => rm(dir, { recursive: true, force: true }), () => log.close(), () => control.close()]
  })
  afterEach(async () => {
    for (const close of closing.toReversed()) await close()
  })

  /** The console, and how the analyzer makes alerts of what is used. */
  async function start(names = ['ops', 'chat']) {
    const channels = names.map(
      (name): Channel => ({
        ...{ name, kind: 'webhook' },
        async send() {
          if (failing.has(name)) throw new ChannelError(name, 'it answered 500')
        },
      }),
    )
    const alerting = createAlerting({
      control,
      policy,
      isOwn: () => true,
      channels,
      groupMs: 0,
      now: Date.now,
      logger: silent,
    })
    closing.push(() => alerting.close())
    const of = { configured: new Set(['q']), labelColumns: [], channels: new Set(names), nameOf: String, principalOf }
    const endedRoutes: Routes = app => {
      app.get('/v1/alerts/ended', { config: { access: 'read' } }, () => ({ alerts: ended, nextCursor: null }))
    }
    const routes = [
      createAlertRoutes({ alerting, principalOf }),
      createPolicyRoutes({ control, policy, ...of }),
      endedRoutes,
    ]
    server = await serveConsole([forecast('q', 'web', 0.5)], routes)
    closing.push(() => server.close())
    /** Until all is told to the channels that accept it. */
    return async (...made: AlertForecast[]) => {
      const asOfMs = Date.now()
      const forecasts = made.map(one => ({ ...one, asOfMs }))
      const find = (_quota: string, subject: readonly string[]) =>
        forecasts.find(one => JSON.stringify(Object.values(one.subject)) === JSON.stringify(subject))
      const untold = () => [...alerting.held().values()].flatMap(one => one.untold.filter(name => !failing.has(name)))
      for (let turn = 0; turn < forecasts.length / 100; turn++) await alerting.follow({ asOfMs, forecasts, find })
      await expect
        .poll(
          async () => {
            await alerting.follow({ asOfMs: 0, forecasts, find })
            return untold()
          },
          { timeout: WAIT_MS },
        )
        .toEqual([])
    }
  }

  async function open(token: string): Promise<Page> {
    const page = await openConsole(browser, server.url, token)
    await page.getByRole('navigation').getByRole('link', { name: 'Alerts', exact: true }).click()
    await page.getByRole('heading', { name: 'Alerts', exact: true }).waitFor()
    await expect.poll(() => page.getByText('Loading …').count(), { timeout: WAIT_MS }).toBe(0)
    return page
  }
  const rows = (page: Page, table: string) => page.getByRole('region', { name: table, exact: true }).locator('tbody tr')

  test('says what is alerted, who knows, who does not and why, and leads to the subject', async () => {
    const tell = await start()
    failing.add('chat')
    await tell(used('web', 100), used('app', 85))
    const page = await open('reader-token')
    expect(await page.getByLabel('Alerts now').textContent()).toMatch(/^Alerts2.*Used up1.*Likely to run out0.*yet2/)
    const texts = await rows(page, 'Alerts').allTextContents()
    expect(texts.map(text => text.replaceAll(/\s+/g, ' '))).toEqual([
      expect.stringMatching(/^acme \/ web qused up100 of 100 requests.*(ago|now)\s?ops chat: not yet/),
      expect.stringMatching(/^acme \/ app q80% used85 of 100 requests.*(ago|now)\s?ops chat: not yet/),
    ])
    await page.getByText('The channel chat did not accept the message: it answered 500. It is tried again').waitFor()
    await page.getByRole('link', { name: 'acme / web' }).click()
    await page.waitForURL(`**/${subjectLink('q', { tenant: 'acme', consumer: 'web' })}`)
    await page.context().close()
  })

  test('silences one with an end and a reason, and ends that', async () => {
    const tell = await start()
    await tell(used('web', 100), used('app', 85))
    const page = await open('admin-token')
    await page.getByRole('button', { name: 'Silence acme / web, q' }).click()
    const dialog = page.getByRole('dialog', { name: 'Silence' })
    await dialog.getByRole('button', { name: 'Silence' }).click()
    // Without a reason the browser does not send it.
    expect(control.keys('silence')).toEqual([])
    await dialog.getByLabel('Why').fill('The provider knows.')
    await dialog.getByLabel('How long').selectOption('Until another time …')
    await dialog.getByLabel('Until, in your time zone').fill('2020-01-01T00:00')
    await dialog.getByRole('button', { name: 'Silence' }).click()
    await dialog.getByText('That time is over already').waitFor()
    await dialog.getByLabel('How long').selectOption('For 8 hours')
    const fromMs = Date.now()
    await dialog.getByRole('button', { name: 'Silence' }).click()
    await dialog.waitFor({ state: 'hidden' })

    const silence = rows(page, 'What is silenced')
    await silence.getByText('The provider knows.').waitFor()
    expect(await silence.textContent()).toContain('acme / web')
    const [key = ''] = control.keys('silence')
    const { value } = control.current('silence', key) as { value: { untilMs: number } }
    expect(value).toMatchObject({
      quota: 'q',
      subject: { tenant: 'acme', consumer: 'web' },
      reason: 'The provider knows.',
    })
    expect(value.untilMs - fromMs).toBeGreaterThanOrEqual(8 * HOUR_MS)
    expect(value.untilMs - Date.now()).toBeLessThanOrEqual(8 * HOUR_MS)
    await rows(page, 'Alerts').first().getByText('silenced until').waitFor()
    expect(await page.getByRole('button', { name: 'Silence acme / web, q' }).count()).toBe(0)
    expect(await page.getByRole('button', { name: 'Silence acme / app, q' }).count()).toBe(1)

    await page.getByRole('button', { name: 'End the silence of acme / web' }).click()
    await page.getByText('Nothing is silenced.').waitFor()
    expect(control.keys('silence')).toEqual([])
    await page.getByRole('button', { name: 'Silence acme / web, q' }).waitFor()
    await page.context().close()
  })

  test('silences a whole quota, and says why that did not work', async () => {
    const tell = await start()
    await tell(used('web', 100), used('app', 85))
    const page = await open('admin-token')
    await page.getByRole('button', { name: 'Silence acme / app, q' }).click()
    const dialog = page.getByRole('dialog', { name: 'Silence' })
    await dialog.getByLabel('What').selectOption('All of q')
    await dialog.getByLabel('Why').fill('Maintenance.')
    await page.route('**/v1/silences/*', route => route.abort())
    await dialog.getByRole('button', { name: 'Silence' }).click()
    await dialog.getByText('Nothing is silenced. The analyzer does not answer.').waitFor()
    await page.unroute('**/v1/silences/*')
    await dialog.getByRole('button', { name: 'Silence' }).click()
    await rows(page, 'What is silenced').getByText('all of q').waitFor()
    await expect.poll(() => rows(page, 'Alerts').getByText('silenced until').count(), { timeout: WAIT_MS }).toBe(2)
    await page.context().close()
  })

  test('tries a channel, and says what came of it', async () => {
    await start()
    failing.add('chat')
    const page = await open('admin-token')
    await page.getByText('There is nothing that somebody should know.').waitFor()
    await page.getByRole('button', { name: 'Send a test to ops' }).click()
    await rows(page, 'Who is told').first().getByText('The message was accepted.').waitFor()
    await page.getByRole('button', { name: 'Send a test to chat' }).click()
    await rows(page, 'Who is told')
      .last()
      .getByText('The channel chat did not accept the message: it answered 500.')
      .waitFor()
    await page.context().close()
  })

  test('shows what is over, with names that turn others round seen', async () => {
    const tell = await start()
    const { windowStartMs: _start, ...facts } = used('\u202egnp.evil', 100)
    const over: Omit<Alert, 'endedAtMs' | 'untold'> = {
      ...facts,
      rule: 'exhaustion',
      level: 0.7,
      probability: 0.9,
      sinceMs: Date.now() - HOUR_MS,
    }
    ended = [{ ...over, key: 'q:1', title: '', told: ['ops'], endedAtMs: Date.now() - HOUR_MS / 2 }]
    await tell(used('\u202egnp.evil', 100))
    const page = await open('reader-token')
    expect(await rows(page, 'Alerts').textContent()).toContain('acme / ⟨U+202E⟩gnp.evil')
    expect(await rows(page, 'Alerts that are over').textContent()).toMatch(
      /acme \/ ⟨U\+202E⟩gnp\.evil.*likely to run out.*90%.*30 min ago.*30 min.*ops/,
    )
    await page.context().close()
  })

  test.each(['reader-token', 'acme-token', 'acme-admin-token'])('has no buttons for %s', async token => {
    const tell = await start()
    const untilMs = Date.now() + HOUR_MS
    const silence = { quota: 'q', subject: { tenant: 'globex', consumer: 'web' }, untilMs }
    await control.change({ kind: 'silence', key: 's', version: 0, value: silence, by: 'test', reason: null })
    await tell(used('web', 100), used('app', 85, 'initech'))
    const page = await open(token)
    await rows(page, 'Alerts').first().waitFor()
    expect(await page.locator('main').getByRole('button').count()).toBe(0)
    const isOfOne = token !== 'reader-token'
    expect(await rows(page, 'Alerts').count()).toBe(isOfOne ? 1 : 2)
    expect(await page.getByRole('heading', { name: 'Channels' }).count()).toBe(isOfOne ? 0 : 1)
    const text = await page.locator('main').textContent()
    if (isOfOne) expect(text).not.toMatch(/globex|initech|may not see|its own tenant/)
    else expect(text).toContain('globex')
    await page.context().close()
  })

  test('says how to be told where nobody is', async () => {
    await start([])
    const page = await open('acme-token')
    await page.getByText('Nobody is told of alerts.').waitFor()
    expect(await page.locator('main').textContent()).toContain('alerts.channels')
    expect(await page.getByRole('heading', { name: 'Channels' }).count()).toBe(0)
    await page.context().close()
  })

  test('shows some hundred alerts in parts, the worst first, and those of one quota', async () => {
    const tell = await start()
    await tell(...Array.from({ length: 250 }, (_, index) => used(`app-${index}`, index === 249 ? 100 : 85)))
    const page = await open('reader-token')
    expect(await rows(page, 'Alerts').count()).toBe(25)
    expect(await rows(page, 'Alerts').first().textContent()).toContain('app-249')
    await page.getByText('The worst 25 of 250.').waitFor()
    await page.getByRole('button', { name: 'Show more' }).click()
    await page.getByText('The worst 100 of 250.').waitFor()
    await page.getByRole('button', { name: 'Show more' }).click()
    await expect.poll(() => rows(page, 'Alerts').count(), { timeout: WAIT_MS }).toBe(250)
    expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0)
    await page.getByLabel('Quota').selectOption('q')
    await page.waitForURL('**/#/alerts?quota=q')
    await page.reload()
    await expect.poll(() => rows(page, 'Alerts').count(), { timeout: WAIT_MS }).toBe(25)
    await page.context().close()
  })

  test.each(['light', 'dark'] as const)('can be used with a screen reader and on a phone, %s', async colorScheme => {
    const tell = await start()
    failing.add('chat')
    await tell(used('web', 100), used('L'.repeat(512), 85))
    const page = await open('admin-token')
    await page.emulateMedia({ colorScheme })
    await page.setViewportSize({ width: 360, height: 740 })
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    await page.getByRole('button', { name: 'Silence acme / web, q' }).click()
    await page.getByRole('dialog', { name: 'Silence' }).waitFor()
    const box = await page.getByRole('dialog').boundingBox()
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(360)
    const { violations } = await new AxeBuilder({ page }).analyze()
    expect(violations.map(({ id }) => id)).toEqual([])
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    expect((await new AxeBuilder({ page }).analyze()).violations.map(({ id }) => id)).toEqual([])
    await page.context().close()
  })
})
