/** Where somebody was: going back, reloading and links find it again. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast } from '../api/forecast-fixture.ts'
import { type ConsoleServer, openConsole, serveConsole } from './console-server.ts'

const SUBJECTS = 500
const forecasts = Array.from({ length: SUBJECTS }, (_, index) => forecast('q', `app-${index}`, index / SUBJECTS / 2))

describeWith(chromiumChecks, 'a place', () => {
  let server: ConsoleServer
  let browser: Browser
  beforeAll(async () => {
    ;[server, browser] = await Promise.all([serveConsole(forecasts), launchChromium()])
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test('in a list that was searched is found again by going back and by reloading', async () => {
    const page = await openConsole(browser, server.url)
    const rows = page.getByRole('table').and(page.locator('[aria-rowcount="12"]'))
    await page.getByRole('searchbox').fill('app-12')
    await page.getByLabel('Order').selectOption('used')
    await rows.waitFor()
    // The numbers above the list are of the list, and say so.
    expect(await page.locator('.tiles').textContent()).toMatch(/Used up now0of what is found.*Found11/)
    await page.getByRole('link', { name: 'app-123' }).click()
    await page.getByRole('heading', { name: 'acme / app-123' }).waitFor()
    await page.goBack()
    for (const comeBack of [async () => undefined, () => page.reload()]) {
      await comeBack()
      await rows.waitFor()
      expect(await page.getByRole('searchbox').inputValue()).toBe('app-12')
      expect(await page.getByLabel('Order').inputValue()).toBe('used')
    }
    await page.getByRole('navigation').getByRole('link', { name: 'Runs out next' }).click()
    await expect.poll(() => page.getByRole('searchbox').inputValue()).toBe('')
  })

  test('far down a list is found again by going back', async () => {
    const page = await openConsole(browser, server.url)
    await page.getByRole('link', { name: `app-${SUBJECTS - 1}` }).waitFor()
    await page.locator('.list-body').focus()
    await page.keyboard.press('End')
    await page.getByRole('link', { name: 'app-0', exact: false }).last().click()
    await page.getByRole('heading', { name: 'acme / app-0' }).waitFor()
    await page.goBack()
    await expect.poll(() => page.locator('.list-body [role=row]').last().textContent()).toContain('app-0')
  })

  test.each(['nothing', 'constructor', '__proto__'])('that is none is told to be none: %s', async name => {
    const page = await openConsole(browser, server.url)
    await page.goto(`${server.url}/#/${name}`)
    await page.getByText('There is no such page.').waitFor()
  })

  test('that asks for what nobody can answer leads back, and does not promise to try again', async () => {
    const page = await openConsole(browser, server.url)
    await page.goto(`${server.url}/#/?order=nonsense`)
    const failure = page.getByRole('alert')
    await failure.getByRole('link', { name: 'what runs out next' }).click()
    await page.getByRole('link', { name: `app-${SUBJECTS - 1}` }).waitFor()
    expect(await failure.count()).toBe(0)
  })
})
