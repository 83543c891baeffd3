/** Real gateways with what their guides tell to paste: each call that went through one is a row, and says what was sent. */
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Destination } from '../../deploy/gateways/guide.ts'
import { EXAMPLE_DESTINATION } from '../../deploy/gateways/render.ts'
import { freePorts } from '../free-ports.ts'
import { describeWith } from '../servers/describe-with.ts'
import { whatIsMissing } from '../servers/missing.ts'
import { apacheSubjects } from './gateways/apache.ts'
import { type Backend, startBackend } from './gateways/backend.ts'
import { caddySubjects } from './gateways/caddy.ts'
import { envoySubjects } from './gateways/envoy.ts'
import { guided } from './gateways/guided.ts'
import { haproxySubjects } from './gateways/haproxy.ts'
import { nginxSubjects } from './gateways/nginx.ts'
import { otelSubjects } from './gateways/otel.ts'
import { rsyslogSubjects } from './gateways/rsyslog.ts'
import type { Subject } from './gateways/subject.ts'
import { CALLS, comparable, expected, ROW_COLUMNS, type Row, SECRET, type Sent, sendCalls } from './gateways/traffic.ts'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'

const SETUP_MS = 120_000
/** The first start of Envoy on a machine installs it. */
const TEST_MS = 240_000
/** From the last call until its row is there. */
const STORED_MS = 30_000
const SUBJECTS: readonly Subject[] = [
  ...nginxSubjects,
  ...caddySubjects,
  ...haproxySubjects,
  ...apacheSubjects,
  ...envoySubjects,
  ...rsyslogSubjects,
  ...otelSubjects,
]

const PRESENT = SUBJECTS.filter(({ checks }) => whatIsMissing(checks) === null)

const dir = mkdtempSync(join(tmpdir(), 'quotacast-gateways-'))
const [deadPort = 0, ...ports] = await freePorts(1 + 2 * SUBJECTS.length)
const portsOf = (subject: Subject) => {
  const [port = 0, syslogPort = 0] = ports.slice(2 * SUBJECTS.indexOf(subject))
  return { port, syslogPort }
}
const dirOf = ({ name }: Subject) => join(dir, name)
const instructions = (subject: Subject, to: Partial<Destination> = {}) => {
  const { name, source = name, guide, setups, folder } = subject
  const moved = folder === undefined ? null : { was: folder, is: dirOf(subject) }
  const { syslogPort } = portsOf(subject)
  return guided(guide, setups, { ...EXAMPLE_DESTINATION, host: '127.0.0.1', syslogPort, source, ...to }, moved)
}

let quotacast: Quotacast
let backend: Backend
let token: string

beforeAll(async () => {
  for (const subject of SUBJECTS) mkdirSync(dirOf(subject))
  const sources = Object.assign({}, ...PRESENT.map(subject => instructions(subject).config.sources))
  ;[quotacast, backend] = await Promise.all([prepareQuotacast({ sources }), startBackend()])
  await quotacast.start()
  // The collector says that it is not ready until all files of its sources are there.
  await quotacast.ready(['store', 'limiter', 'analyzer'])
  const created = await quotacast.cli(['token', 'create', '--name', 'gateways', '--scopes', 'ingest'])
  token = created.stdout.trim()
}, SETUP_MS)
afterAll(async () => {
  await Promise.all([quotacast?.stop(), backend?.stop()])
  quotacast?.remove()
  rmSync(dir, { recursive: true, force: true })
}, SETUP_MS)

const rowsOf = ({ name }: Subject) => quotacast.query<Row>(`SELECT ${ROW_COLUMNS} FROM calls WHERE gateway = '${name}'`)

for (const subject of SUBJECTS) {
  describeWith(subject.checks, subject.name, () => {
    test('every call is a row that says what was sent', { timeout: TEST_MS }, async () => {
      const { urls, grpcPort } = quotacast
      const { snippets } = instructions(subject, { url: urls.collector, grpcPort, token })
      const { port } = portsOf(subject)
      const place = { dir: dirOf(subject), port, backendPort: backend.port, deadPort, snippets }
      const gateway = await subject.start(place)
      try {
        const sent = await sendCalls(port, backend)
        const told = (call: Sent) => ({
          ...expected(call),
          ...subject.tells?.always,
          ...subject.tells?.of?.[call.route],
        })
        const routes = sent.map(call => told(call).route).toSorted()
        await expect
          .poll(async () => (await rowsOf(subject)).map(({ route }) => route).toSorted(), { timeout: STORED_MS })
          .toEqual(routes)
        const rows = new Map((await rowsOf(subject)).map(row => [row.route, row]))
        const seen = sent.map(call => {
          const row = rows.get(told(call).route)
          return row === undefined ? null : comparable(row, call)
        })
        expect(seen).toEqual(sent.map(told))
      } finally {
        await gateway.stop()
      }
    })
  })
}

test('nothing comes twice, nothing is rejected, and no secret is anywhere', async () => {
  await quotacast.ready()
  const counts = await quotacast.query<{ gateway: string; rows: number }>(
    'SELECT gateway, count() AS rows FROM calls GROUP BY gateway ORDER BY gateway',
  )
  expect(counts).toEqual(
    PRESENT.map(({ name }) => ({ gateway: name, rows: CALLS.length })).toSorted((one, other) =>
      one.gateway < other.gateway ? -1 : 1,
    ),
  )
  expect(await quotacast.query('SELECT * FROM rejections')).toEqual([])
  expect(JSON.stringify(await quotacast.query('SELECT * FROM calls'))).not.toContain(SECRET)
  expect(quotacast.output()).not.toContain(SECRET)
  // The snippets keep secrets out of the logs of the gateways, too.
  for (const file of globSync(join(dir, '**/*.log*'))) expect(readFileSync(file, 'utf8'), file).not.toContain(SECRET)
})
