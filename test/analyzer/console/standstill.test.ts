/** What the console says when what it shows may not be what is: a stream that hangs, a role that is slow, a session that ended elsewhere. */
import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Routes } from '../../../collector/principal.ts'
import { principalOf } from '../../../deploy/http-access.ts'
import { chromiumChecks, launchChromium } from '../../servers/chromium.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { forecast, NOW_MS } from '../api/forecast-fixture.ts'
import { type ConsoleServer, logIn, openConsole, serveConsole } from './console-server.ts'

/** Of the rejections. */
const TICKS_A_QUESTION = 4

const read = { config: { access: 'read' } } as const
const told = { skipped: null as string | null }
const streams = new Set<ServerResponse>()
const tick = () => {
  const event = `event: tick\ndata: ${JSON.stringify({ asOfMs: NOW_MS, dataAgeMs: 1_000, ...told })}\n\n`
  for (const stream of streams) stream.write(event)
}
const subject = { tenant: 'globex', consumer: 'app' }
const denial = { quota: 'q', subject, unit: 'requests', minuteMs: NOW_MS, denied: 3, deniedCost: 3 }
const NO_REJECTIONS = { counts: [] }
let collector: (reply: FastifyReply) => unknown

const routes: Routes = server => {
  server.get('/v1/live', { ...read, exposeHeadRoute: false }, (request, reply) => {
    reply.hijack()
    streams.add(reply.raw.writeHead(200, { 'content-type': 'text/event-stream' }))
    reply.raw.once('close', () => streams.delete(reply.raw))
    tick()
    if (principalOf(request).tenant === null)
      reply.raw.write(`event: denials\ndata: ${JSON.stringify({ denied: 3, denials: [denial] })}\n\n`)
  })
  server.get('/v1/rejections/counts', read, (_request, reply) => collector(reply))
}

describeWith(chromiumChecks, 'a standstill', () => {
  let server: ConsoleServer
  let browser: Browser
  beforeAll(async () => {
    ;[server, browser] = await Promise.all([serveConsole([forecast('q', 'app', 0.5)], [routes]), launchChromium()])
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })
  beforeEach(() => {
    told.skipped = null
    collector = () => NO_REJECTIONS
  })

  test('of the stream is seen though no event tells it, and the numbers stay', async () => {
    const page = await openConsole(browser, server.url)
    await page.getByText('Live, newest call 1 s old').waitFor()
    await page.clock.install()
    await page.reload()
    await page.getByText('Live, newest call 1 s old').waitFor()
    await page.clock.fastForward(41_000)
    await page.getByRole('alert').getByText('The analyzer does not answer.').waitFor()
    expect(await page.getByText('Live, newest call').count()).toBe(0)
    expect(await page.locator('.list-body').textContent()).toContain('acme / app')
    await page.context().close()
  })

  test('of the forecasts is said in words, also on a phone', async () => {
    told.skipped = 'the store is away'
    const page = await openConsole(browser, server.url)
    await page.setViewportSize({ width: 360, height: 700 })
    await page.getByText('The forecasts stand still: the store is away.').waitFor()
    expect(await page.getByText('Forecasts stand still', { exact: true }).isVisible()).toBe(true)
    await page.context().close()
  })

  test('of another role is told though it answers later than the next question is due', async () => {
    const waiting: FastifyReply[] = []
    collector = reply => {
      waiting.push(reply)
      return reply
    }
    const page = await openConsole(browser, server.url)
    await page.clock.install()
    await page.goto(`${server.url}/#/rejections`)
    await expect.poll(() => waiting.length).toBe(1)
    for (let ticks = 0; ticks < TICKS_A_QUESTION * 2; ticks++) tick()
    await page.clock.runFor(20_000)
    expect(waiting).toHaveLength(1)
    collector = () => NO_REJECTIONS
    waiting[0]?.code(503).send({ code: 'ROLE_UNAVAILABLE', detail: 'Not now: try again.' })
    await page.getByText('limiter or collector, does not answer. It is tried again by itself.').waitFor()
    await page.clock.runFor(16_000)
    await page.getByText('Everything could be read.').waitFor()
    await page.context().close()
  })

  test('a session that ends or changes in one tab does so in all', async () => {
    const page = await openConsole(browser, server.url)
    await page.getByText('globex / app').waitFor()
    const other = await page.context().newPage()
    await other.goto(`${server.url}/#/rejections`)
    await other.getByText('Everything could be read.').waitFor()
    await page.getByRole('button', { name: 'Log out' }).click()
    await other.getByRole('heading', { name: 'Log in' }).waitFor()
    await other.getByText('The session has ended').waitFor()
    await logIn(page, 'acme-token')
    await other.getByText('of-acme · acme').waitFor()
    expect(await page.getByText('globex').count()).toBe(0)
    await page.context().close()
  })

  test('an analyzer that is away cannot log out, and nobody is told that it did', async () => {
    const page = await openConsole(browser, server.url)
    await page.route('**/v1/session', route => route.abort())
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByText('You are still logged in.').waitFor()
    expect(await page.getByRole('heading', { name: 'Log in' }).count()).toBe(0)
    await page.unroute('**/v1/session')
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    await page.context().close()
  })
})
