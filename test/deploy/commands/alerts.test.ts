import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePorts } from '../../free-ports.ts'

const REPOSITORY = new URL('../../..', import.meta.url).pathname
const dataDir = mkdtempSync(join(tmpdir(), 'quotacast-'))
let isConfigured = true

/** Answers as an analyzer of one quota, without alerts. */
const analyzer = createServer((request, response) => {
  const isQuotas = request.url?.startsWith('/v1/quotas')
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(
    JSON.stringify(
      isQuotas ? { quotas: [{ key: 'hourly' }], nextCursor: null } : { isConfigured, total: 0, alerts: [] },
    ),
  )
})

let port = 0
beforeAll(async () => {
  writeFileSync(join(dataDir, 'token'), 'secret')
  port = (await freePorts(1))[0] ?? 0
  await new Promise<void>(resolve => analyzer.listen(port, '127.0.0.1', resolve))
})
afterAll(() => {
  analyzer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const run = (...args: string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>(resolve => {
    const flags = ['--data', dataDir, '--set', `analyzer.port=${port}`]
    const command = [join(REPOSITORY, 'deploy/main.ts'), 'alerts', ...args, ...flags]
    const child = execFile(process.execPath, command, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })

test('without a channel nothing is watched, which is not the same as nothing to tell', async () => {
  isConfigured = true
  expect((await run()).stdout).toBe('There is nothing that somebody should know.\n')
  isConfigured = false
  const { code, stdout } = await run()
  expect(code).toBe(0)
  expect(stdout).toBe(
    'No alerts are kept: `alerts.channels` of the config names nobody to tell. What may run out is shown by `forecast`.\n',
  )
})

test('a quota that there is not is told', async () => {
  isConfigured = true
  const { code, stderr } = await run('--quota', 'houry')
  expect(stderr).toContain('there is no quota houry; known are hourly')
  expect(code).toBe(2)
})
