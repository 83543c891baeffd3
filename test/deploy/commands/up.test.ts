import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { curlLine } from '../../../deploy/commands/up.ts'
import { openAdminToken, tokenFile } from '../../../deploy/secrets.ts'
import { freePorts } from '../../free-ports.ts'

const MAIN = new URL('../../../deploy/main.ts', import.meta.url).pathname

test('the curl line that is printed works when it is pasted, wherever the data is', async () => {
  const dataDir = join(mkdtempSync(join(tmpdir(), 'quotacast-')), "it's my data")
  const token = openAdminToken(dataDir)
  const received = Promise.withResolvers<{
    authorization: string | undefined
    url: string | undefined
    call: Record<string, unknown>
  }>()
  const server = createServer(async (request, response) => {
    const body = (await request.toArray()).join('')
    response.end('{"accepted":1}')
    received.resolve({ authorization: request.headers.authorization, url: request.url, call: JSON.parse(body) })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { stdout } = await promisify(execFile)('sh', ['-c', curlLine(url, tokenFile(dataDir))])
    expect(stdout).toBe('{"accepted":1}')
    const { authorization, url: path, call } = await received.promise
    expect(authorization).toBe(`Bearer ${token}`)
    expect(path).toBe('/v1/calls')
    expect(Math.abs(Number(call.startedAtMs) - Date.now())).toBeLessThan(60_000)
  } finally {
    server.close()
    rmSync(join(dataDir, '..'), { recursive: true, force: true })
  }
})

const distributed = {
  'store.kind': 'clickhouse',
  'store.url': 'http://127.0.0.1:1',
  'secrets.fingerprintKeys': `[${'a'.repeat(64)}]`,
  'secrets.decisionKeys': `[${'b'.repeat(64)}]`,
}
const flags = (overrides: Record<string, unknown>) =>
  Object.entries(overrides).flatMap(([key, value]) => ['--set', `${key}=${value}`])

test('starts the roles that are asked for, and says where those are', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  const [port = 0, grpcPort = 0] = await freePorts(2)
  const ports = { 'limiter.port': port, 'limiter.grpc.port': grpcPort }
  const only = ['--roles', 'limiter', '--data', dataDir, '--json', ...flags({ ...distributed, ...ports })]
  const child = spawn(process.execPath, [MAIN, 'up', ...only], { stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = once(child, 'exit')
  try {
    const printed = Promise.withResolvers<string>()
    let output = ''
    child.stdout.on('data', chunk => {
      output += chunk
      const line = output.split('\n').find(text => text.startsWith('{"isReady"'))
      if (line !== undefined) printed.resolve(line)
    })
    expect(JSON.parse(await printed.promise)).toEqual({
      isReady: true,
      notReady: {},
      urls: { limiter: `http://127.0.0.1:${port}`, clickhouse: 'http://127.0.0.1:1' },
      dataDir,
      tokenFile: tokenFile(dataDir),
    })
  } finally {
    child.kill('SIGTERM')
    await exited
    rmSync(dataDir, { recursive: true, force: true })
  }
})

test.each([
  [['up', '--roles', 'limiter,barista'], {}, /--roles: barista is none of store, collector, limiter, analyzer/],
  [['up', '--roles', 'store'], distributed, /--roles: store is none of collector, limiter, analyzer/],
  [['serve', 'store'], distributed, /with store.kind: clickhouse there is no role store/],
])('%j is refused where there is no such role', async (command, overrides, problem) => {
  const failed = promisify(execFile)(process.execPath, [MAIN, ...command, ...flags(overrides)])
  await expect(failed).rejects.toMatchObject({ code: 2, stderr: expect.stringMatching(problem) })
})
