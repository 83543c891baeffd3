/** The console as somebody uses it: a real browser, the whole product behind it. */
import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { NextAnswer } from '../../../analyzer/api/next.ts'
import type { WhatIfAnswer } from '../../../analyzer/api/what-if.ts'
import { formatAmount, formatShare, formatUnit } from '../../../dashboards/console/format.ts'
import { subjectLink } from '../../../dashboards/console/router.ts'
import { type Quotacast, startQuotacast } from '../../e2e/quotacast.ts'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'

const MINUTE_MS = 60_000
const MINUTES = 30
const WAIT_MS = 30_000
const QUOTA = 'tokens-per-hour'
const PAGES = ['', 'alerts', 'trends', 'sources', 'rejections', 'quality']

/** An hour that begins with the calls, so that no reset comes into the way of a test. */
const quotasSince = (beginMs: number) => [
  {
    name: QUOTA,
    per: ['tenant', 'consumer'],
    unit: 'total_tokens',
    limit: 100_000,
    alerts: { used: [0.8] },
    window: { kind: 'fixed', everySeconds: '1h', anchor: new Date(beginMs).toISOString() },
  },
  {
    name: 'nothing',
    match: { model: 'forbidden' },
    per: ['tenant', 'consumer'],
    unit: 'requests',
    limit: 0,
    window: { kind: 'calendar', every: 'day' },
  },
]

/** One call a minute of each; the first is the one that will run out. */
const callers = [
  { tenant: 'acme', consumer: 'chat-app', tokens: 3_000 },
  { tenant: 'acme', consumer: 'search', tokens: 5 },
  { tenant: 'globex', consumer: 'assistant', tokens: 10 },
]
/** Nobody is there. */
const ops = { kind: 'webhook', url: 'http://127.0.0.1:1/of-ops-alone' }
const urgent = { tenant: 'acme', consumer: 'chat-app' }

function callsSince(beginMs: number) {
  return callers.flatMap(({ tenant, consumer, tokens }) =>
    Array.from({ length: MINUTES }, (_, index) => ({
      ...{ tenant, consumer, gateway: 'edge', model: 'gpt-5', route: '/v1/chat', status: 200, latencyMs: 640 },
      ...{ requestId: `${consumer}-${index}`, startedAtMs: beginMs + index * MINUTE_MS },
      ...{ inputTokens: tokens, outputTokens: 0, totalTokens: tokens },
    })),
  )
}

describeWith(chromiumChecks, 'the console', () => {
  let quotacast: Quotacast
  let browser: Browser
  beforeAll(async () => {
    const beginMs = Date.now() - MINUTES * MINUTE_MS
    ;[quotacast, browser] = await Promise.all([
      startQuotacast({ quotas: quotasSince(beginMs), alerts: { channels: { ops } } }),
      launchChromium(),
    ])
    expect((await quotacast.post('collector', '/v1/calls', callsSince(beginMs))).body.rejected).toEqual([])
    await quotacast.post('collector', '/v1/sources/nginx', 'no line of a log\n')
    await vi.waitFor(async () => {
      expect((await quotacast.get('analyzer', '/v1/forecasts')).body.forecasts).toHaveLength(callers.length)
    }, WAIT_MS)
  })
  afterAll(async () => {
    await browser?.close()
    await quotacast?.stop()
    quotacast?.remove()
  })

  /** A page that fails the test by whatever it complains about, and by every request that leaves its origin. */
  async function openPage(options: Parameters<Browser['newContext']>[0] = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })
    const page = await context.newPage()
    const problems: string[] = []
    page.on('pageerror', error => problems.push(String(error)))
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type())) problems.push(`${message.text()} ${message.location().url}`)
    })
    page.on('request', request => {
      const { origin, protocol } = new URL(request.url())
      if (protocol !== 'data:' && origin !== quotacast.urls.analyzer) problems.push(`left its origin: ${request.url()}`)
    })
    page.setDefaultTimeout(WAIT_MS)
    return { context, page, problems }
  }

  /** Logs in; that nobody was logged in before is no problem. */
  async function logIn(page: Page, token: string, problems: string[]) {
    await page.goto(quotacast.urls.analyzer)
    await page.getByLabel('Token', { exact: true }).fill(token)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('heading', { name: 'What runs out next' }).waitFor()
    const isExpected = (problem: string) => problem.includes('401') && problem.includes('/v1/session')
    problems.splice(0, problems.length, ...problems.filter(problem => !isExpected(problem)))
  }

  const next = async (): Promise<NextAnswer> => (await quotacast.get('analyzer', '/v1/forecasts/next')).body
  const firstRow = (page: Page) => page.locator('.list-body [role=row]').first()

  async function cookiesOf(context: BrowserContext) {
    const [cookie] = await context.cookies()
    return cookie
  }

  test('who is nobody sees the login, and a wrong token says so', async () => {
    const { page, context } = await openPage()
    await page.goto(quotacast.urls.analyzer)
    await page.getByLabel('Token', { exact: true }).fill('not-a-token')
    await page.keyboard.press('Enter')
    await page.getByText('the token is unknown or revoked').waitFor()
    expect(await page.locator('.list').count()).toBe(0)
    expect(await page.getByText('The session has ended').count()).toBe(0)
    expect(await cookiesOf(context)).toBeUndefined()
    await context.close()
  })

  test('what runs out next is found, opened, and has the numbers of the API', async () => {
    const { page, context, problems } = await openPage()
    await logIn(page, quotacast.token, problems)
    expect(await cookiesOf(context)).toMatchObject({ httpOnly: true, sameSite: 'Strict' })
    expect(JSON.stringify(await context.cookies())).not.toContain(quotacast.token)

    const [forecast] = (await next()).forecasts
    expect(forecast).toMatchObject({ subject: urgent, quota: QUOTA, used: MINUTES * 3_000 })
    const used = formatAmount(forecast?.used ?? null, 'total_tokens')
    await expect.poll(() => firstRow(page).textContent(), { timeout: WAIT_MS }).toContain(used)
    await expect
      .poll(
        async () =>
          (await firstRow(page).textContent())?.includes(formatShare((await next()).forecasts[0]?.probability ?? null)),
        { timeout: WAIT_MS },
      )
      .toBe(true)

    await firstRow(page).getByRole('link').click()
    await page.getByRole('heading', { name: 'acme / chat-app' }).waitFor()
    const tiles = page.getByLabel('Standing')
    await expect
      .poll(() => tiles.textContent(), { timeout: WAIT_MS })
      .toContain(`of 100,000 ${formatUnit('total_tokens')}, 90%`)
    expect(await tiles.textContent()).toContain(used)
    await expect.poll(() => page.locator('.chart canvas').count(), { timeout: WAIT_MS }).toBe(1)
    const calls = page.getByRole('region', { name: 'Newest calls' }).getByRole('row')
    await expect.poll(() => calls.count(), { timeout: WAIT_MS }).toBe(1 + 25)
    expect(problems).toEqual([])
    await context.close()
  })

  test('a what-if moves with the keyboard, and says what the API says', async () => {
    const { page, context, problems } = await openPage()
    await logIn(page, quotacast.token, problems)
    await page.goto(`${quotacast.urls.analyzer}/${subjectLink(QUOTA, urgent)}`)
    const limit = page.getByRole('slider', { name: 'Limit' })
    await limit.focus()
    await page.keyboard.press('End')
    await page.getByText('400,000 total tokens (+300%)').waitFor()
    const asked = { quota: QUOTA, subject: urgent, limit: 400_000, growth: 1 }
    const left = async () => {
      const { body } = await quotacast.post('analyzer', '/v1/forecasts/what-if', asked)
      return (body as WhatIfAnswer).whatIf
    }
    await expect
      .poll(
        async () => {
          const { probability, headroom } = await left()
          const [risk, rest] = await Promise.all([
            page.locator('[data-what-if="Risk"]').textContent(),
            page.locator('[data-what-if="Left then"]').textContent(),
          ])
          // Between two questions the time goes on, and the forecast with it.
          const near = Number(rest?.replaceAll(',', '').replace('−', '-')) / (headroom?.p50 ?? 1)
          return risk === formatShare(probability) && Math.abs(near - 1) < 0.05
        },
        { timeout: WAIT_MS },
      )
      .toBe(true)
    await page.getByRole('button', { name: 'As it is' }).click()
    await page.getByText('100,000 total tokens (±0%)').waitFor()
    expect(problems).toEqual([])
    await context.close()
  })

  test('a denial appears while one looks, and says why', async () => {
    const { page, context, problems } = await openPage()
    await logIn(page, quotacast.token, problems)
    const denied = page.getByRole('list', { name: 'Denied just now' })
    expect(await denied.getByRole('listitem').count()).toBe(0)
    const check = { ...urgent, dimensions: { model: 'forbidden' } }
    for (let index = 0; index < 3; index++) await quotacast.post('limiter', '/v1/check', check)
    await denied.getByText('3 denied').waitFor()
    await denied.getByRole('link', { name: 'acme / chat-app' }).click()
    // By the minute: the three may have been in two.
    const asked = async () => {
      const minutes = await page.getByText(/asked for \d+ requests?/).allTextContents()
      return minutes.reduce((sum, text) => sum + Number(/asked for (\d+)/.exec(text)?.[1]), 0)
    }
    await expect.poll(asked, { timeout: WAIT_MS }).toBe(3)
    await page.getByRole('button', { name: 'Would a call pass now, and why?' }).click()
    await page.getByText(/tokens-per-hour allows each tenant and consumer 100,000 total_tokens/).waitFor()
    expect(problems.filter(problem => !problem.includes('404'))).toEqual([])
    await context.close()
  })

  test('an alert is shown, why nobody knows of it, and another one while one looks', async () => {
    const { page, context, problems } = await openPage()
    await logIn(page, quotacast.token, problems)
    await page.getByRole('navigation').getByRole('link', { name: 'Alerts' }).click()
    const alerts = page.getByRole('region', { name: 'Alerts', exact: true })
    await alerts.getByText('80% used').waitFor()
    await alerts.getByText('ops: not yet').waitFor()
    await page.getByRole('status').getByText('The channel ops did not accept the message').waitFor()
    await page.getByText('None has ended.').waitFor()
    expect(await page.locator('main').textContent()).not.toContain('of-ops-alone')
    const late = { tenant: 'acme', consumer: 'late', gateway: 'edge', status: 200, totalTokens: 95_000 }
    await quotacast.post('collector', '/v1/calls', [{ ...late, requestId: 'late', startedAtMs: Date.now() - 1 }])
    await alerts.getByRole('link', { name: 'acme / late' }).waitFor()
    await alerts.getByRole('link', { name: 'acme / chat-app' }).click()
    await page.getByRole('heading', { name: 'acme / chat-app' }).waitFor()
    expect(problems).toEqual([])
    await context.close()
  })

  test('a token of one tenant sees its tenant alone', async () => {
    const made = await quotacast.cli([
      'token',
      'create',
      '--name',
      'globex',
      '--scopes',
      'read',
      '--tenant',
      'globex',
      '--json',
    ])
    const { token } = JSON.parse(made.stdout) as { token: string }
    const { page, context, problems } = await openPage()
    await expect
      .poll(async () => (await quotacast.get('analyzer', '/v1/session', { authorization: `Bearer ${token}` })).status, {
        timeout: WAIT_MS,
      })
      .toBe(200)
    await logIn(page, token, problems)
    await expect
      .poll(() => page.locator('.list-body [role=row]').allTextContents(), { timeout: WAIT_MS })
      .toHaveLength(1)
    for (const name of PAGES) {
      await page.goto(`${quotacast.urls.analyzer}/#/${name}`)
      await page.locator('main h1').waitFor()
      await expect.poll(() => page.getByText('Loading …').count(), { timeout: WAIT_MS }).toBe(0)
      expect(await page.locator('main').textContent(), name).not.toMatch(/acme|chat-app/)
    }
    expect(problems).toEqual([])
    await page.goto(`${quotacast.urls.analyzer}/${subjectLink(QUOTA, urgent)}`)
    await page.getByText('Nothing is known of this subject').waitFor()
    await context.close()
  })

  test.each(['light', 'dark'] as const)(
    'every page can be used with a screen reader and by keyboard, %s',
    async colorScheme => {
      const { page, context, problems } = await openPage({ colorScheme })
      await page.goto(quotacast.urls.analyzer)
      await page.getByLabel('Token', { exact: true }).waitFor()
      expect(await seriousViolations(page)).toEqual([])
      await logIn(page, quotacast.token, problems)
      for (const target of [...PAGES.map(name => `#/${name}`), subjectLink(QUOTA, urgent)]) {
        await page.goto(`${quotacast.urls.analyzer}/${target}`)
        await page.locator('main h1').waitFor()
        await expect.poll(() => page.getByText('Loading …').count(), { timeout: WAIT_MS }).toBe(0)
        expect(await seriousViolations(page), target).toEqual([])
      }
      expect(problems).toEqual([])
      await context.close()
    },
  )

  test('on a phone nothing is wider than the screen', async () => {
    const { page, context, problems } = await openPage({ viewport: { width: 360, height: 780 } })
    await logIn(page, quotacast.token, problems)
    for (const target of [...PAGES.map(name => `#/${name}`), subjectLink(QUOTA, urgent)]) {
      await page.goto(`${quotacast.urls.analyzer}/${target}`)
      await page.locator('main h1').waitFor()
      await expect.poll(() => page.getByText('Loading …').count(), { timeout: WAIT_MS }).toBe(0)
      expect(await page.evaluate('document.documentElement.scrollWidth'), target).toBeLessThanOrEqual(360)
    }
    expect(problems).toEqual([])
    await context.close()
  })

  test('logging out leaves nothing to be seen', async () => {
    const { page, context, problems } = await openPage()
    await logIn(page, quotacast.token, problems)
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByLabel('Token', { exact: true }).waitFor()
    expect(await page.locator('main').textContent()).not.toContain('acme')
    expect(await cookiesOf(context)).toBeUndefined()
    await context.close()
  })
})

/** What keeps somebody from using the page. */
async function seriousViolations(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze()
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
}
