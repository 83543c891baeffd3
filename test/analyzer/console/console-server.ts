/** The console before forecasts of a test's own, in a real browser, without a store. */
import { pino } from 'pino'
import type { Browser, Page } from 'playwright-core'
import { createNextRoutes } from '../../../analyzer/api/next.ts'
import { createConsoleRoutes } from '../../../analyzer/console/routes.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import type { SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'
import { EMPTY_SNAPSHOT } from '../../../analyzer/tick/ticker.ts'
import type { Principal, Routes } from '../../../collector/principal.ts'
import { createServer } from '../../../deploy/http.ts'
import { principalOf } from '../../../deploy/http-access.ts'
import { listen } from '../../../deploy/http-listening.ts'
import { createSessionRoutes } from '../../../deploy/session-routes.ts'
import { createSessions } from '../../../deploy/sessions.ts'
import { freePorts } from '../../free-ports.ts'
import { NOW_MS } from '../api/forecast-fixture.ts'

const WAIT_MS = 30_000
const TOKENS: Readonly<Record<string, Principal>> = {
  'admin-token': { name: 'admin', scopes: new Set(['admin']), tenant: null },
  'reader-token': { name: 'reader', scopes: new Set(['read']), tenant: null },
  'acme-token': { name: 'of-acme', scopes: new Set(['read']), tenant: 'acme' },
  'acme-admin-token': { name: 'admin-of-acme', scopes: new Set(['admin']), tenant: 'acme' },
}

export interface ConsoleServer {
  url: string
  close(): Promise<unknown>
}

/** `routes` answer what the console asks besides what runs out next. */
export async function serveConsole(
  forecasts: readonly SubjectForecast[],
  routes: readonly Routes[] = [],
  quotas: readonly Quota[] = [],
): Promise<ConsoleServer> {
  const snapshot = () => ({ ...EMPTY_SNAPSHOT, asOfMs: NOW_MS, forecasts })
  const verify = (token: string) => TOKENS[token] ?? null
  const sessions = createSessions()
  const server = await createServer({
    ...{ role: 'analyzer', version: '1.2.3', log: pino({ level: 'silent' }), verify, sessions, isTracing: false },
    routes: [
      createConsoleRoutes(),
      createNextRoutes({ snapshot, policy: () => createPolicy(quotas), principalOf, now: () => NOW_MS }),
      createSessionRoutes({ sessions, verify, principalOf }),
      ...routes,
    ],
    readiness: async () => ({ isReady: true, reasons: [] }),
    metrics: async () => '',
  })
  const [port = 0] = await freePorts(1)
  return { url: await listen(server, { host: '127.0.0.1', port }), close: () => server.close() }
}

export async function openConsole(browser: Browser, url: string, token = 'reader-token'): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } })
  const page = await context.newPage()
  page.setDefaultTimeout(WAIT_MS)
  await page.goto(url)
  await logIn(page, token)
  return page
}

export async function logIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('Token', { exact: true }).fill(token)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'What runs out next' }).waitFor()
}
