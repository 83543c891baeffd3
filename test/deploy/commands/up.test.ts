import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { curlLine } from '../../../deploy/commands/up.ts'
import { openAdminToken, tokenFile } from '../../../deploy/secrets.ts'

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
