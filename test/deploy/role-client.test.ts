import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig } from '../../deploy/config.ts'
import { getJson } from '../../deploy/role-client.ts'
import { openAdminToken, tokenFile } from '../../deploy/secrets.ts'

test('whoever has the token of another data folder is told which one was taken', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  openAdminToken(dataDir)
  const server = createServer((_request, response) =>
    response.writeHead(401, { 'content-type': 'application/problem+json' }).end('{"detail":"the token is unknown"}'),
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const config = await loadConfig({ dataDir, overrides: [`analyzer.port=${(server.address() as AddressInfo).port}`] })
    await expect(getJson('analyzer', '/v1/status', config)).rejects.toThrow(
      `the analyzer answers 401 to /v1/status: the token is unknown (it is that of ${tokenFile(dataDir)}: does the analyzer run with other --data?)`,
    )
  } finally {
    server.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
})
