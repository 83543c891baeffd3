/** Pictures of every page of the console at three widths, light and dark, and those of the README. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, Page } from 'playwright-core'
import type { Demo } from './demo.ts'
import { toSmallPng } from './small-png.ts'

const WAIT_MS = 60_000
/** Bars and charts have come to rest by then. */
const SETTLE_MS = 1_000

const SCHEMES = ['light', 'dark'] as const
type Scheme = (typeof SCHEMES)[number]
const SIZES = [
  { width: 1280, height: 800 },
  { width: 768, height: 900 },
  { width: 360, height: 740 },
]
/** Of a month, so that at any hour of the day there is much to come, and much is known. */
const SUBJECT = 'subject?quota=demo-tokens-per-month&by.tenant=demo-steady'
const PAGES = {
  next: '',
  alerts: 'alerts',
  subject: SUBJECT,
  trends: 'trends',
  sources: 'sources',
  rejections: 'rejections',
  quality: 'quality',
}
const PICTURES: { name: keyof typeof PAGES; scheme: Scheme; size: { width: number; height: number } }[] = [
  { name: 'next', scheme: 'light', size: { width: 1120, height: 620 } },
  { name: 'subject', scheme: 'dark', size: { width: 1120, height: 620 } },
  { name: 'next', scheme: 'dark', size: { width: 360, height: 620 } },
]

/** The README's into `ofReadme`, all others into `all`. */
export async function pictureConsole(
  browser: Browser,
  demo: Demo,
  { all, ofReadme }: { all: string; ofReadme: string },
): Promise<void> {
  for (const dir of [all, ofReadme]) mkdirSync(dir, { recursive: true })
  for (const { name, scheme, size } of PICTURES) {
    const page = await openConsole(browser, demo, { scheme, size })
    await show(page, demo.url, PAGES[name])
    writeFileSync(join(ofReadme, `${name}-${size.width}-${scheme}.png`), toSmallPng(await page.screenshot()))
    await page.context().close()
  }
  for (const scheme of SCHEMES) {
    for (const size of SIZES) {
      const page = await openConsole(browser, demo, { scheme, size })
      for (const [name, target] of Object.entries(PAGES)) {
        await show(page, demo.url, target)
        await page.screenshot({ path: join(all, `${name}-${size.width}-${scheme}.png`), fullPage: true })
      }
      await page.context().close()
    }
  }
}

async function openConsole(
  browser: Browser,
  { url, token }: Demo,
  { scheme, size }: { scheme: Scheme; size: { width: number; height: number } },
): Promise<Page> {
  const page = await browser.newPage({ viewport: size, colorScheme: scheme })
  page.setDefaultTimeout(WAIT_MS)
  await page.goto(url)
  await page.getByLabel('Token', { exact: true }).fill(token)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.locator('main h1').waitFor()
  return page
}

/** Goes to a page, and waits until everything on it has come, and nothing new has begun to. */
async function show(page: Page, url: string, target: string): Promise<void> {
  await page.goto(`${url}/#/${target}`)
  await page.locator('main h1').waitFor()
  if (target === '') await page.locator('.list-body a').first().waitFor()
  if (target === SUBJECT) await page.locator('.chart canvas').waitFor()
  await page.mouse.move(0, 0)
  const deadlineMs = Date.now() + WAIT_MS
  for (let restMs = Date.now(); Date.now() < Math.min(deadlineMs, restMs + SETTLE_MS); await sleep(100))
    if ((await page.getByText('Loading …').count()) > 0) restMs = Date.now()
}
