/** A list of ten thousand subjects in a real browser: only what is seen is asked for and drawn. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast } from '../api/forecast-fixture.ts'
import { type ConsoleServer, openConsole, serveConsole } from './console-server.ts'

const SUBJECTS = 10_000
/** What is seen, and what is kept ready above and below. */
const DRAWN_MAX = 60

/** The first is the least probable, and so the last of the list. */
const forecasts = Array.from({ length: SUBJECTS }, (_, index) => forecast('q', `app-${index}`, index / SUBJECTS / 2))

describeWith(chromiumChecks, 'ten thousand subjects', () => {
  let server: ConsoleServer
  let browser: Browser
  beforeAll(async () => {
    ;[server, browser] = await Promise.all([serveConsole(forecasts), launchChromium()])
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test('are scrolled through from the first to the last, and few of them are drawn', async () => {
    const page = await openConsole(browser, server.url)
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
