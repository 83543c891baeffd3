/** What one needs to see to use the console: where a field is, where the focus is, whose row it is. */
import type { Browser, Locator } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Routes } from '../../../collector/principal.ts'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast } from '../api/forecast-fixture.ts'
import { type ConsoleServer, openConsole, serveConsole } from './console-server.ts'

/** WCAG 2.2, 1.4.11: of what makes out a control. */
const CONTRAST_MIN = 3
const example = { message: 'no line of a log', input: '' }
const count = { source: 'nginx', reason: 'unreadable', count: 1, replayable: 1, lastAtMs: Date.now(), example }
const routes: Routes = server => {
  server.get('/v1/rejections/counts', { config: { access: 'read' } }, () => ({ counts: [count] }))
}
const SUBJECT = 'acme / search-engine'

describeWith(chromiumChecks, 'the console', () => {
  let server: ConsoleServer
  let browser: Browser
  beforeAll(async () => {
    const forecasts = [forecast('q', 'search-engine', 0.3)]
    ;[server, browser] = await Promise.all([serveConsole(forecasts, [routes]), launchChromium()])
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test.each(['light', 'dark'] as const)('shows where its fields are, %s', async colorScheme => {
    const page = await openConsole(browser, server.url)
    await page.emulateMedia({ colorScheme })
    const fields = page.getByRole('search').locator('input, select')
    await fields.first().waitFor()
    for (const field of await fields.all()) expect(await edgeContrast(field)).toBeGreaterThanOrEqual(CONTRAST_MIN)
  })

  test('shows which row has the focus', async () => {
    const page = await openConsole(browser, server.url)
    await page.getByRole('link', { name: SUBJECT }).waitFor()
    await page.locator('.list-body').focus()
    await page.keyboard.press('Tab')
    const row = page.locator('.list-body [role=row]')
    expect(await row.evaluate(element => getComputedStyle(element).outlineStyle)).toBe('solid')
  })

  test('tells whose row it is where the screen is 320 px wide', async () => {
    const page = await openConsole(browser, server.url)
    await page.setViewportSize({ width: 320, height: 640 })
    const cell = page.getByRole('cell').filter({ has: page.getByRole('link', { name: SUBJECT }) })
    expect(await cell.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBe(0)
  })

  test('offers to copy only where a browser lets it: over TLS, or on the same machine', async () => {
    const page = await openConsole(browser, server.url)
    await page.goto(`${server.url}/#/rejections`)
    const snippet = page.getByRole('region', { name: 'the commands that replay rejections' })
    await snippet.waitFor()
    expect(await page.getByRole('button', { name: 'Copy' }).count()).toBe(1)
    await page.addInitScript('delete Navigator.prototype.clipboard')
    await page.reload()
    await snippet.waitFor()
    expect(await page.getByRole('button', { name: 'Copy' }).count()).toBe(0)
  })

  test('says what to do without JavaScript', async () => {
    const page = await (await browser.newContext({ javaScriptEnabled: false })).newPage()
    await page.goto(server.url)
    expect(await page.locator('main').textContent()).toContain('Allow it for this page')
  })
})

/** Of a field's border, to the surface in it. */
const edgeContrast = (field: Locator): Promise<number> =>
  field.evaluate(element => {
    const { borderTopColor, backgroundColor } = getComputedStyle(element)
    const [light = 0, dark = 0] = [borderTopColor, backgroundColor]
      .map(color => {
        const [red = 0, green = 0, blue = 0] = (color.match(/\d+/g) ?? []).map(part => {
          const share = Number(part) / 255
          return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
        })
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue
      })
      .sort((one, other) => other - one)
    return (light + 0.05) / (dark + 0.05)
  })
