/** Names that others chose, in a real browser: none does anything, looks like another one, or takes the room of the rest. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Routes } from '../../../collector/principal.ts'
import { subjectLink } from '../../../dashboards/console/router.ts'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast } from '../api/forecast-fixture.ts'
import { type ConsoleServer, openConsole, serveConsole } from './console-server.ts'

const LONG = 'L'.repeat(512)
const NAMES = [
  ['<img src=x onerror=alert(1)>', '"><script>alert(2)</script>'],
  ['javascript:alert(3)', '{{alert(4)}} <%= alert(5) %>'],
  ['\u202egnp.evil', '  '],
  [LONG, LONG],
] as const

const gateway = { dialect: 'nginx', calls: [1], errors: 0, refused: 0, lastArrivedAtMs: Date.now() }
const routes: Routes = server => {
  server.get('/v1/gateways', { config: { access: 'read' } }, () => ({
    gateways: [{ ...gateway, gateway: LONG }],
    nextCursor: null,
  }))
}

describeWith(chromiumChecks, 'names', () => {
  let server: ConsoleServer
  let browser: Browser
  beforeAll(async () => {
    const forecasts = NAMES.map(([tenant, consumer]) => forecast('q', consumer, 0.5, tenant))
    ;[server, browser] = await Promise.all([serveConsole(forecasts, [routes]), launchChromium()])
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test('are text, and what is not seen of them is shown', async () => {
    const page = await openConsole(browser, server.url)
    const dialogs: string[] = []
    page.on('dialog', dialog => {
      dialogs.push(dialog.message())
      void dialog.dismiss()
    })
    await page.getByRole('link', { name: '⟨U+202E⟩gnp.evil / “ ”' }).waitFor()
    for (const [tenant, consumer] of NAMES) {
      await page.goto(`${server.url}/${subjectLink('q', { tenant, consumer })}`)
      await page.locator('h1').getByText(tenant.replace('\u202e', '')).waitFor()
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(1280)
    }
    expect(await page.locator('main img, main script').count()).toBe(0)
    expect(dialogs).toEqual([])
  })

  test('of 512 characters leave the other columns where they are seen', async () => {
    const page = await openConsole(browser, server.url)
    await page.goto(`${server.url}/#/sources`)
    const refused = await page.getByRole('columnheader', { name: 'Refused' }).boundingBox()
    expect((refused?.x ?? 0) + (refused?.width ?? 0)).toBeLessThanOrEqual(1280)
  })
})
