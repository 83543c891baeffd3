/** Pages in a real browser: what they say is of what they are about, and they offer nothing of which they could say nothing. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Routes } from '../../../collector/principal.ts'
import { subjectLink } from '../../../dashboards/console/router.ts'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast, NOW_MS } from '../api/forecast-fixture.ts'
import { testQuota } from '../quotas.ts'
import { type ConsoleServer, openConsole, serveConsole } from './console-server.ts'

const ROUTE = '/v1/chat'
const subject = { tenant: 'acme', consumer: '', route: ROUTE }
const asked: unknown[] = []
const routes: Routes = server => {
  server.get('/v1/denials', { config: { access: 'read' } }, ({ query }) => {
    asked.push(query)
    return { denials: [{ quota: 'q', subject, unit: 'requests', minuteMs: NOW_MS, denied: 3, deniedCost: 3 }] }
  })
}
const ofOthers: Routes = server => {
  const other = {
    id: 'a',
    owner: 'edge',
    dimensions: { tenant: 'acme', route: '/other' },
    cost: {},
    madeAtMs: 0,
    expiresAtMs: null,
  }
  server.get('/v1/reservations', { config: { access: 'read' } }, () => ({ reservations: [other], nextCursor: 'more' }))
}
const quotas = [testQuota({ name: 'a-rate', window: { kind: 'rate', everySeconds: 60 } }), testQuota({ name: 'q' })]

describeWith(chromiumChecks, 'the page', () => {
  let server: ConsoleServer
  let browser: Browser
  beforeAll(async () => {
    const forecasts = [forecast('a-rate', 'app', null), forecast('q', 'app', 0.5)]
    ;[server, browser] = await Promise.all([serveConsole(forecasts, [routes, ofOthers], quotas), launchChromium()])
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test('of a subject asks for the denials of this subject, of which the newest of its tenant may be none', async () => {
    const page = await openConsole(browser, server.url)
    await page.goto(`${server.url}/${subjectLink('q', subject)}`)
    await page.getByText('3 denied').waitFor()
    expect(asked).toEqual([{ quota: 'q', ...subject, limit: '200' }])
  })

  test('of trends offers the quotas that have some: those whose windows reset', async () => {
    const page = await openConsole(browser, server.url)
    await page.goto(`${server.url}/#/trends`)
    await expect.poll(() => page.getByLabel('Quota').locator('option').allTextContents()).toEqual(['q'])
  })

  test('of a subject does not say that nothing is held where it was not told of all that is', async () => {
    const page = await openConsole(browser, server.url)
    await page.goto(`${server.url}/${subjectLink('q', subject)}`)
    await page.getByText('None of the first that are held is its own, and there are more.').waitFor()
    expect(await page.getByText('Nothing is held.').count()).toBe(0)
  })
})
