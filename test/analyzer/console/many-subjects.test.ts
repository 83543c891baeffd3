/** A list of ten thousand subjects in a real browser: only what is seen is asked for and drawn. */
import { pino } from 'pino'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createNextRoutes } from '../../../analyzer/api/next.ts'
import { createConsoleRoutes } from '../../../analyzer/console/routes.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { EMPTY_SNAPSHOT } from '../../../analyzer/tick/ticker.ts'
import type { Principal } from '../../../collector/principal.ts'
import { createServer, listen } from '../../../deploy/http.ts'
import { principalOf } from '../../../deploy/http-access.ts'
import { createSessionRoutes } from '../../../deploy/session-routes.ts'
import { createSessions } from '../../../deploy/sessions.ts'
import { freePorts } from '../../free-ports.ts'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast, NOW_MS } from '../api/forecast-fixture.ts'

const SUBJECTS = 10_000
/** What is seen, and what is kept ready above and below. */
const DRAWN_MAX = 60
const WAIT_MS = 30_000

const reader: Principal = { name: 'reader', scopes: new Set(['read']), tenant: null }
const verify = (token: string) => (token === 'reader-token' ? reader : null)
/** The first is the least probable, and so the last of the list. */
const snapshot = {
  ...EMPTY_SNAPSHOT,
  asOfMs: NOW_MS,
  forecasts: Array.from({ length: SUBJECTS }, (_, index) => forecast('q', `app-${index}`, index / SUBJECTS / 2)),
}

describeWith(chromiumChecks, 'ten thousand subjects', () => {
  let server: Awaited<ReturnType<typeof createServer>>
  let browser: Browser
  let url: string
  beforeAll(async () => {
    const sessions = createSessions()
    const deps = { snapshot: () => snapshot, policy: () => createPolicy([]), principalOf, now: () => NOW_MS }
    server = await createServer({
      ...{ role: 'analyzer', version: '1.2.3', log: pino({ level: 'silent' }), verify, sessions, isTracing: false },
      routes: [createConsoleRoutes(), createNextRoutes(deps), createSessionRoutes({ sessions, verify, principalOf })],
      readiness: async () => ({ isReady: true, reasons: [] }),
      serveMetrics: () => undefined,
    })
    const [port = 0] = await freePorts(1)
    url = await listen(server, { host: '127.0.0.1', port })
    browser = await launchChromium()
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test('are scrolled through from the first to the last, and few of them are drawn', async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 860 } })
    page.setDefaultTimeout(WAIT_MS)
    await page.goto(url)
    await page.getByLabel('Token', { exact: true }).fill('reader-token')
    await page.keyboard.press('Enter')
    const rows = page.locator('.list-body [role=row]')
    await rows
      .first()
      .getByText(`app-${SUBJECTS - 1}`)
      .waitFor()
    expect(await page.getByRole('table').getAttribute('aria-rowcount')).toBe(String(SUBJECTS + 1))
    expect(await rows.count()).toBeLessThanOrEqual(DRAWN_MAX)

    await page.locator('.list-body').focus()
    await page.keyboard.press('End')
    await rows.last().getByRole('link', { name: 'app-0' }).waitFor()
    expect(await rows.last().getAttribute('aria-rowindex')).toBe(String(SUBJECTS + 1))
    expect(await rows.count()).toBeLessThanOrEqual(DRAWN_MAX)

    await page.getByRole('searchbox').fill('app-123')
    await page.getByRole('table').and(page.locator('[aria-rowcount="12"]')).waitFor()
    await rows.first().getByText('app-1239').waitFor()
  })
})
