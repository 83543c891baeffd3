import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { forecast, NOW_MS } from '../../analyzer/api/forecast-fixture.ts'
import { freePorts } from '../../free-ports.ts'

const REPOSITORY = new URL('../../..', import.meta.url).pathname
const dataDir = mkdtempSync(join(tmpdir(), 'quotacast-'))

/** Answers as an analyzer with three subjects at risk, of which one has nothing left. */
const analyzer = createServer((request, response) => {
  const at = { p10: NOW_MS - 5_000, p50: NOW_MS - 5_000, p90: NOW_MS - 5_000 }
  const usedUp = { ...forecast('hourly', 'gone', 1), used: 100, exhaustionAtMs: at }
  const spent = { ...forecast('monthly', 'web', 0.3), unit: 'cost', used: 1_250_000, limit: 5_000_000 }
  const status = { asOfMs: NOW_MS, atRisk: [usedUp, forecast('hourly', 'soon', 0.94), spent] }
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(request.url === '/readyz' ? { isReady: true, reasons: [] } : status))
})

let ports: number[] = []
beforeAll(async () => {
  writeFileSync(join(dataDir, 'token'), 'secret')
  ports = await freePorts(4)
  await new Promise<void>(resolve => analyzer.listen(ports[0], '127.0.0.1', resolve))
})
afterAll(() => {
  analyzer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const run = () =>
  new Promise<{ code: number; stdout: string }>(resolve => {
    const keys = ['analyzer.port', 'collector.port', 'limiter.port', 'store.healthPort']
    const flags = ['--data', dataDir, ...keys.flatMap((key, index) => ['--set', `${key}=${ports[index]}`])]
    const command = [join(REPOSITORY, 'deploy/main.ts'), 'status', ...flags]
    const child = execFile(process.execPath, command, (_error, stdout) =>
      resolve({ code: child.exitCode ?? -1, stdout }),
    )
  })

test('who has nothing left is said to have used it up, others how likely they will, instants are text and costs money', async () => {
  const { code, stdout } = await run()
  expect(stdout.split('\n').map(line => line.trim())).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^analyzer +ready/),
      `asOfMs: ${new Date(NOW_MS).toISOString()}`,
      '- hourly tenant=acme consumer=gone – used up, 100 of 100 requests used',
      '- hourly tenant=acme consumer=soon – 94 % to run out before the reset, 40 of 100 requests used',
      '- monthly tenant=acme consumer=web – 30 % to run out before the reset, 1.25 of 5.00 USD used',
    ]),
  )
  expect(stdout).toMatch(/^collector +NOT READY/m)
  expect(code).toBe(1)
})

test('a role that hangs is named soon, and the others are shown', async () => {
  const collector = createServer(() => undefined)
  // Ready, and what it has to ask for its status hangs.
  const limiter = createServer((request, response) => {
    if (request.url === '/readyz') response.end(JSON.stringify({ isReady: true, reasons: ['Redis is away'] }))
  })
  await new Promise<void>(resolve => collector.listen(ports[1], '127.0.0.1', resolve))
  await new Promise<void>(resolve => limiter.listen(ports[2], '127.0.0.1', resolve))
  try {
    const { stdout } = await run()
    const late = (port: number | undefined, path: string) =>
      `has not answered within 5 s at http://127.0.0.1:${port}${path}: is it overloaded?`
    expect(stdout).toMatch(/^collector +NOT READY/m)
    expect(stdout).toContain(`! the collector ${late(ports[1], '/readyz')}`)
    expect(stdout).toMatch(/^limiter +ready .*\n +! Redis is away\n/m)
    expect(stdout).toContain(`! the limiter ${late(ports[2], '/v1/status')}`)
    expect(stdout).toMatch(/^analyzer +ready/m)
  } finally {
    for (const server of [collector, limiter]) server.close().closeAllConnections()
  }
})
