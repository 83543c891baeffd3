/**
 * `npm run screenshots`: pictures of every page of the console over the demo, at three widths, light and dark, in
 * `data/screenshots`, and those of the README in `dashboards/console/pictures`.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, Page } from 'playwright-core'
import { freePorts } from '../free-ports.ts'
import { chromiumChecks, launchChromium } from '../servers/chromium.ts'
import { whatIsMissing } from '../servers/missing.ts'

const REPOSITORY = new URL('../..', import.meta.url).pathname
const ALL = join(REPOSITORY, 'data/screenshots')
const OF_README = join(REPOSITORY, 'dashboards/console/pictures')
const START_DEADLINE_MS = 300_000
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
/** A subject that will likely run out, and has not yet. */
const SUBJECT = 'subject?quota=demo-requests-per-day&by.tenant=demo-steady&by.consumer=demo-steady-search'
const PAGES = {
  next: '',
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

const missing = whatIsMissing(chromiumChecks)
if (missing === null) await takePictures()
else {
  process.stderr.write(`${missing}\n`)
  process.exitCode = 1
}

async function takePictures(): Promise<void> {
  const demo = await startDemo()
  const browser = await launchChromium()
  try {
    for (const dir of [ALL, OF_README]) mkdirSync(dir, { recursive: true })
    for (const { name, scheme, size } of PICTURES) {
      const page = await openConsole(browser, demo, { scheme, size })
      await show(page, demo.url, PAGES[name])
      await page.screenshot({ path: join(OF_README, `${name}-${size.width}-${scheme}.png`) })
      await page.context().close()
    }
    for (const scheme of SCHEMES) {
      for (const size of SIZES) {
        const page = await openConsole(browser, demo, { scheme, size })
        for (const [name, target] of Object.entries(PAGES)) {
          await show(page, demo.url, target)
          await page.screenshot({ path: join(ALL, `${name}-${size.width}-${scheme}.png`), fullPage: true })
        }
        await page.context().close()
      }
    }
  } finally {
    await browser.close()
    await demo.stop()
  }
  process.stdout.write(`Pictures: ${ALL}, and those of the README in ${OF_README}.\n`)
}

interface Demo {
  url: string
  token: string
  stop(): Promise<void>
}

/** The demo on free ports over a folder of its own, once it is ready. */
async function startDemo(): Promise<Demo> {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-screenshots-'))
  const keys = [
    'store.port',
    'store.healthPort',
    'collector.port',
    'collector.grpc.port',
    'limiter.port',
    'limiter.grpc.port',
  ]
  const ports = await freePorts(keys.length + 1)
  const settings = [...keys, 'analyzer.port'].flatMap((key, index) => ['--set', `${key}=${ports[index]}`])
  const args = [join(REPOSITORY, 'deploy/main.ts'), 'up', '--demo', '--data', join(dir, 'demo'), ...settings]
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  const exited = new Promise(resolve => child.once('exit', resolve))
  const stop = async () => {
    child.kill('SIGTERM')
    await exited
    rmSync(dir, { recursive: true, force: true })
  }
  const url = `http://127.0.0.1:${ports.at(-1)}`
  const deadlineMs = Date.now() + START_DEADLINE_MS
  const isReady = () =>
    fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    )
  while (!(await isReady())) {
    if (Date.now() > deadlineMs || child.exitCode !== null) {
      await stop()
      throw new Error('the demo did not become ready')
    }
    await sleep(500)
  }
  return { url, token: readFileSync(join(dir, 'demo/token'), 'utf8').trim(), stop }
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

/** Goes to a page, and waits until everything on it has come. */
async function show(page: Page, url: string, target: string): Promise<void> {
  await page.goto(`${url}/#/${target}`)
  await page.locator('main h1').waitFor()
  if (target === '') await page.locator('.list-body a').first().waitFor()
  if (target === SUBJECT) await page.locator('.chart canvas').waitFor()
  const deadlineMs = Date.now() + WAIT_MS
  while ((await page.getByText('Loading …').count()) > 0 && Date.now() < deadlineMs) await sleep(100)
  await page.mouse.move(0, 0)
  await sleep(SETTLE_MS)
}
