/** The page of one subject in a real browser: what it says is of this subject, however many others there are. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Routes } from '../../../collector/principal.ts'
import { subjectLink } from '../../../dashboards/console/router.ts'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast, NOW_MS } from '../api/forecast-fixture.ts'
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

describeWith(chromiumChecks, 'the page of a subject', () => {
  let server: ConsoleServer
  let browser: Browser
  beforeAll(async () => {
    ;[server, browser] = await Promise.all([serveConsole([forecast('q', 'app', 0.5)], [routes]), launchChromium()])
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test('asks for the denials of this subject, of which the newest of its tenant may be none', async () => {
    const page = await openConsole(browser, server.url)
    await page.goto(`${server.url}/${subjectLink('q', subject)}`)
    await page.getByText('3 denied').waitFor()
    expect(asked).toEqual([{ quota: 'q', ...subject, limit: '200' }])
  })
})
