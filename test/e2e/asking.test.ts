/**
 * Real gateways with what their guides tell to paste, which ask before each call and ship their logs: not one call more
 * than the quota allows passes, and what is used in the end is what the backend served, exactly.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { EXAMPLE_DESTINATION } from '../../deploy/gateways/render.ts'
import { freePorts } from '../free-ports.ts'
import { describeWith } from '../servers/describe-with.ts'
import { whatIsMissing } from '../servers/missing.ts'
import { ASKING } from './gateways/asking.ts'
import { type Backend, startBackend } from './gateways/backend.ts'
import { guided } from './gateways/guided.ts'
import type { Subject } from './gateways/subject.ts'
import { HOST, KEY } from './gateways/traffic.ts'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'

const SETUP_MS = 120_000
/** The first start of Envoy and of Spring on a machine installs them. */
const TEST_MS = 300_000
const STORED_MS = 60_000
/** Calls that a quota allows, calls beyond it, and those who send them at once. */
const LIMIT = 40
const EXCESS = 24
const CLIENTS = 8
/** Sent one after the other beyond it, and how often that is done at most until half of them were denied in time. */
const IN_TURN = 15
const TURNS_MAX = 5
/** Sent while the limiter does not answer, and while it is away. */
const UNASKED = 3
const PRESENT = ASKING.filter(({ checks }) => whatIsMissing(checks) === null)

const dir = mkdtempSync(join(tmpdir(), 'quotacast-asking-'))
const ports = await freePorts(2 * ASKING.length)
const portsOf = (subject: Subject) => {
  const [port = 0, syslogPort = 0] = ports.slice(2 * ASKING.indexOf(subject))
  return { port, syslogPort }
}
const dirOf = ({ name }: Subject) => join(dir, name)

let quotacast: Quotacast
let backend: Backend
let token = EXAMPLE_DESTINATION.token
/** The id of a decision about another call. */
let forged = ''

function instructions(subject: Subject, to: { collector: string; limiter: string } | null) {
  const { name, guide, setups, folder } = subject
  const moved = folder === undefined ? null : { was: folder, is: dirOf(subject) }
  const limiter = new URL(to?.limiter ?? EXAMPLE_DESTINATION.limiterUrl)
  const destination = {
    ...{ ...EXAMPLE_DESTINATION, token, source: name, host: '127.0.0.1', syslogPort: portsOf(subject).syslogPort },
    ...(to === null
      ? {}
      : { url: to.collector, grpcPort: quotacast.grpcPort, limiterGrpcPort: quotacast.limiterGrpcPort }),
    ...{ limiterUrl: limiter.origin, limiterHost: limiter.hostname, limiterPort: Number(limiter.port) },
  }
  return guided(guide, setups, destination, moved)
}

beforeAll(async () => {
  for (const subject of ASKING) mkdirSync(dirOf(subject))
  // A source of another name than its dialect's says it.
  const sourceOf = (subject: Subject) => ({
    [subject.name]: { dialect: subject.guide, ...instructions(subject, null).config.sources?.[subject.name] },
  })
  const sources = Object.assign({}, ...PRESENT.map(sourceOf))
  const quotas = PRESENT.map(({ name }) => ({
    name,
    match: { gateway: name },
    per: ['gateway'],
    unit: 'requests',
    limit: LIMIT,
    window: { kind: 'calendar', every: 'year', timezone: 'UTC' },
  }))
  ;[quotacast, backend] = await Promise.all([prepareQuotacast({ sources, quotas }), startBackend()])
  await quotacast.start()
  // The collector says that it is not ready until all files of its sources are there.
  await quotacast.ready(['store', 'limiter', 'analyzer'])
  const created = await quotacast.cli(['token', 'create', '--name', 'asking', '--scopes', 'ingest,check'])
  token = created.stdout.trim()
  // The limiter learns of a token a moment after it was made.
  await vi.waitFor(
    async () => {
      const { status } = await quotacast.get('limiter', '/v1/auth', { 'x-quotacast-token': token })
      expect(status).not.toBe(401)
    },
    { timeout: STORED_MS, interval: 100 },
  )
  const { body } = await quotacast.post('limiter', '/v1/check', { dimensions: { gateway: 'another' } })
  forged = body.decisionId
  expect(forged).toMatch(/^1\./)
}, SETUP_MS)
afterAll(async () => {
  agent.destroy()
  await Promise.all([quotacast?.stop(), backend?.stop()])
  quotacast?.remove()
  rmSync(dir, { recursive: true, force: true })
}, SETUP_MS)

interface Answer {
  status: number
  headers: Readonly<Record<string, unknown>>
  body: string
}

const agent = new Agent({ keepAlive: true })

const call = (port: number, path: string): Promise<Answer> =>
  new Promise((resolve, reject) => {
    // What clients say of themselves must not count.
    const headers = {
      ...{ host: HOST, 'x-api-key': KEY, 'x-quotacast-gateway': 'another', 'x-quotacast-cost': '1000' },
      'x-quotacast-decision-id': forged,
    }
    request({ host: '127.0.0.1', port, path, headers, agent }, async response => {
      let body = ''
      for await (const chunk of response) body += chunk
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body })
    })
      .once('error', reject)
      .end()
  })

async function sendAtOnce(port: number, path: string, count: number): Promise<Answer[]> {
  const answers: Answer[] = []
  let left = count
  const client = async () => {
    while (left-- > 0) answers.push(await call(port, path))
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return answers
}

async function sendInTurn(port: number, path: string): Promise<(Answer & { tookMs: number })[]> {
  const answers: (Answer & { tookMs: number })[] = []
  while (answers.length < IN_TURN) {
    const sentAtMs = performance.now()
    answers.push({ ...(await call(port, path)), tookMs: performance.now() - sentAtMs })
  }
  return answers
}

const medianOf = (values: readonly number[]) =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN

async function whileStopped(pids: readonly number[], run: () => Promise<void>): Promise<void> {
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    await run()
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
}

/** The limiter takes calls and answers none. */
const whileFrozen = (run: () => Promise<void>) => whileStopped(quotacast.rolePids('limiter'), run)

/** Nobody listens: the one who would start another limiter is stopped. */
const whileGone = (run: () => Promise<void>) =>
  whileStopped([quotacast.pid()], () => {
    quotacast.kill('limiter')
    return run()
  })

async function usedOf(name: string): Promise<number> {
  const question = { dimensions: { gateway: name }, cost: { requests: 0 }, dryRun: true }
  const { body } = await quotacast.post('limiter', '/v1/check', question)
  return body.quotas[0].used
}

const rowsOf = async (name: string) => {
  const [row] = await quotacast.query<{ calls: number; counted: number; unnamed: number }>(
    `SELECT count() AS calls, countIf(outcome != 'limited') AS counted,
       countIf(outcome != 'limited' AND consumer = '') AS unnamed FROM calls WHERE gateway = '${name}'`,
  )
  return row
}

for (const subject of ASKING) {
  describeWith(subject.checks, subject.name, () => {
    test('calls pass until the quota is used up, or nobody can be asked, and each counts once', {
      timeout: TEST_MS,
    }, async () => {
      const {
        name,
        isAnonymous = false,
        deniedWithinMs = Number.POSITIVE_INFINITY,
        denial = { ratelimit: new RegExp(`^"${name}";r=0;t=\\d+$`) },
      } = subject
      const { snippets } = instructions(subject, quotacast.urls)
      const { port } = portsOf(subject)
      const place = { dir: dirOf(subject), port, backendPort: backend.port, deadPort: 0, snippets }
      const path = `/${name}`
      const gateway = await subject.start(place)
      try {
        const answers = await sendAtOnce(port, path, LIMIT + EXCESS)
        const denied = answers.filter(({ status }) => status === 429)
        expect(answers.filter(({ status }) => status === 200)).toHaveLength(LIMIT)
        expect(denied).toHaveLength(EXCESS)
        expect(backend.served(path)).toBe(LIMIT)
        for (const { headers, body } of denied) {
          expect(Number(headers['retry-after'])).toBeGreaterThan(0)
          for (const [field, pattern] of Object.entries(denial)) expect(headers[field], field).toMatch(pattern)
          expect(headers['x-quotacast-denied']).toBe('429')
          expect(JSON.parse(body)).toMatchObject({ title: 'Quota exceeded', status: 429 })
        }
        const inTurn = await sendInTurn(port, path)
        const isQuick = () => medianOf(inTurn.slice(-IN_TURN).map(({ tookMs }) => tookMs)) < deniedWithinMs
        // The machine may be busy for a moment.
        while (!isQuick() && inTurn.length < TURNS_MAX * IN_TURN) inTurn.push(...(await sendInTurn(port, path)))
        expect(isQuick()).toBe(true)
        expect(new Set(inTurn.map(({ status }) => status))).toEqual(new Set([429]))
        for (const whileAway of [whileFrozen, whileGone])
          await whileAway(async () => {
            const unasked = await sendAtOnce(port, path, UNASKED)
            expect(unasked.map(({ status }) => status)).toEqual(Array(UNASKED).fill(200))
          })
        const served = LIMIT + 2 * UNASKED
        expect(backend.served(path)).toBe(served)
        await quotacast.ready(['limiter'])
        await expect
          .poll(() => rowsOf(name), { timeout: STORED_MS })
          .toMatchObject({ calls: served + EXCESS + inTurn.length, counted: served })
        // Who was asked about is who is logged, or the record would take back from one quota and spend from another.
        if (!isAnonymous) expect((await rowsOf(name))?.unnamed).toBeLessThanOrEqual(2 * UNASKED)
        await expect.poll(() => usedOf(name), { timeout: STORED_MS }).toBe(served)
      } finally {
        await gateway.stop()
      }
    })
  })
}
