/** An analyzer that answers what a test says, and commands that are run against it. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { runCli } from '../../e2e/quotacast.ts'

/** Runs a command of the CLI against the analyzer, which answers each request with the JSON of `answer`, or 404. */
export function fakeAnalyzer(answer: (url: URL) => unknown): (...args: string[]) => ReturnType<typeof runCli> {
  const dataDir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  const server = createServer((request, response) => {
    const body = answer(new URL(request.url ?? '/', 'http://analyzer'))
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body ?? {}))
  })
  beforeAll(async () => {
    writeFileSync(join(dataDir, 'token'), 'secret')
    await once(server.listen(0, '127.0.0.1'), 'listening')
  })
  afterAll(() => {
    server.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  return (...args) =>
    runCli([...args, '--data', dataDir, '--set', `analyzer.port=${(server.address() as AddressInfo).port}`])
}
