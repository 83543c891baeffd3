/** The dashboards go into a Grafana that answers as its HTTP API is documented, and into a folder. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { installDashboards, writeDashboards } from '../../../deploy/grafana/install.ts'
import { runCli } from '../../e2e/quotacast.ts'

const COMMITTED = new URL('../../../dashboards/json/', import.meta.url)
const PROVISIONING = new URL('../../../deploy/grafana/provisioning/', import.meta.url)
const TOKEN = 'glsa_test'

interface Posted {
  dashboard: { uid: string; id: null }
  folderUid: string
  overwrite: boolean
}

let grafana: Server
let url: string
let folders: Map<string, string>
let posted: Posted[]
/** What it answers to dashboards, when it refuses. */
let refusal: { status: number; message: string } | null

beforeEach(async () => {
  folders = new Map()
  posted = []
  refusal = null
  grafana = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return answer(401, { message: 'Invalid API key' })
    const folder = /^\/api\/folders\/(.+)$/.exec(request.url ?? '')?.[1]
    if (request.method === 'GET' && folder !== undefined) {
      const title = folders.get(folder)
      return title === undefined ? answer(404, { message: 'folder not found' }) : answer(200, { uid: folder, title })
    }
    if (request.method === 'POST' && request.url === '/api/folders') {
      const { uid, title } = (await json(request)) as { uid: string; title: string }
      if (folders.has(uid)) return answer(412, { message: 'a folder with that UID already exists' })
      folders.set(uid, title)
      return answer(200, { uid, title })
    }
    if (request.method === 'POST' && request.url === '/api/dashboards/db') {
      const body = (await json(request)) as Posted
      if (refusal !== null) return answer(refusal.status, { message: refusal.message, status: 'name-exists' })
      if (!folders.has(body.folderUid)) return answer(400, { message: 'folder not found' })
      posted.push(body)
      return answer(200, {
        uid: body.dashboard.uid,
        url: `/d/${body.dashboard.uid}/slug`,
        status: 'success',
        version: 1,
      })
    }
    answer(404, { message: 'Not found' })
  })
  await new Promise<void>(resolve => grafana.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(grafana.address() as AddressInfo).port}`
})
afterEach(() => new Promise(resolve => grafana.close(resolve)))

const install = (token = TOKEN, to = url) => installDashboards({ url: to, token, folder: 'Quotacast' })
const uids = readdirSync(COMMITTED).map(name => `quotacast-${name.replace('.json', '')}`)

describe('into a running Grafana', () => {
  test('all dashboards go into a folder, and replace what was there', async () => {
    expect(await install()).toEqual(uids.map(uid => `${url}/d/${uid}/slug`))
    expect(folders).toEqual(new Map([['quotacast', 'Quotacast']]))
    expect(posted.map(({ dashboard }) => dashboard.uid)).toEqual(uids)
    expect(
      posted.every(
        ({ overwrite, folderUid, dashboard }) => overwrite && folderUid === 'quotacast' && dashboard.id === null,
      ),
    ).toBe(true)
    await install()
    expect(posted).toHaveLength(2 * uids.length)
  })

  test('a refusal says what it was about, why, and what to do', async () => {
    await expect(install('wrong')).rejects.toThrow(/401.*Invalid API key.*QUOTACAST_GRAFANA__TOKEN/)
    refusal = { status: 412, message: 'A dashboard with the same name in the folder already exists' }
    await expect(install()).rejects.toThrow(/412 to the dashboard Quotacast: .*same name.*provisioned/)
    refusal = { status: 403, message: 'denied' }
    await expect(install()).rejects.toThrow(/dashboards:write/)
    refusal = { status: 500, message: 'boom' }
    await expect(install()).rejects.toThrow(/500.*\(boom\)$/)
  })

  test.each(['<html>Sign in</html>', 'null', '{}'])(
    'what answers 200 and %s to everything is not Grafana',
    async body => {
      grafana.removeAllListeners('request').on('request', (_request, response) => response.end(body))
      await expect(install()).rejects.toThrow(/answers 200 to the dashboard Quotacast: .*root of Grafana/)
    },
  )

  test('one that is not there, or is something else, is told', async () => {
    await expect(install(TOKEN, `${url}/grafana`)).rejects.toThrow(/root of Grafana/)
    await new Promise(resolve => grafana.close(resolve))
    await expect(install()).rejects.toThrow(/does not answer at http/)
    grafana.listen(0)
  })

  test('the command takes its token from the environment', async () => {
    const none = await runCli(['dashboards', '--grafana', url])
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('QUOTACAST_GRAFANA__TOKEN') })
    const done = await runCli(['dashboards', '--grafana', url, '--set', `grafana.token=${TOKEN}`, '--json'])
    expect(done.code).toBe(0)
    expect(JSON.parse(done.stdout)).toEqual(uids.map(uid => `${url}/d/${uid}/slug`))
    expect((await runCli(['dashboards'])).code).toBe(2)
  })
})

test('into a folder they are written as they are', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  try {
    const paths = await writeDashboards(join(dir, 'new'))
    expect(paths).toHaveLength(uids.length)
    for (const path of paths) {
      expect(readFileSync(path, 'utf8')).toBe(readFileSync(new URL(path.split('/').at(-1) ?? '', COMMITTED), 'utf8'))
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

test('the provisioning names one data source for alerts, and the port and user of the embedded store', () => {
  const read = (path: string) => readFileSync(new URL(path, PROVISIONING), 'utf8')
  const { datasources } = parse(read('datasources/quotacast.yaml'))
  const [clickhouse] = datasources
  expect(clickhouse).toMatchObject({
    type: 'grafana-clickhouse-datasource',
    jsonData: { port: 7410, protocol: 'http', username: 'grafana', defaultDatabase: 'quotacast' },
  })
  const { groups } = JSON.parse(read('alerting/quotacast.json'))
  for (const { data } of groups[0].rules) expect(data[0].datasourceUid).toBe(clickhouse.uid)
  // Rules can name no id of a folder: Grafana finds that of the dashboards by its title as long as these name none either.
  const [provider] = parse(read('dashboards/quotacast.yaml')).providers
  expect(provider.folder).toBe(groups[0].folder)
  expect(provider).not.toHaveProperty('folderUid')
})
