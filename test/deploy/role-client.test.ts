import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { loadConfig } from '../../deploy/config.ts'
import type { Config } from '../../deploy/config-schema.ts'
import { getJson, RoleError } from '../../deploy/role-client.ts'
import { openAdminToken, tokenFile } from '../../deploy/secrets.ts'

/** A config whose analyzer is the listener. */
async function withAnalyzer(listener: RequestListener, use: (config: Config, url: string) => Promise<void>) {
  const dataDir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  openAdminToken(dataDir)
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    await use(await loadConfig({ dataDir, overrides: [`analyzer.port=${port}`] }), `http://127.0.0.1:${port}/v1/status`)
  } finally {
    server.close()
    server.closeAllConnections()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

test('whoever has the token of another data folder is told which one was taken', () =>
  withAnalyzer(
    (_request, response) =>
      response.writeHead(401, { 'content-type': 'application/problem+json' }).end('{"detail":"the token is unknown"}'),
    config =>
      expect(getJson('analyzer', '/v1/status', config)).rejects.toThrow(
        `the analyzer answers 401 to /v1/status: the token is unknown (it is that of ${tokenFile(config.dataDir)}: does the analyzer run with other --data?)`,
      ),
  ))

test.each(['<html>It works!</html>', '', 'null', '"ready"'])('another program that answers %j is not the role', body =>
  withAnalyzer(
    (_request, response) => response.end(body),
    async (config, url) => {
      const failure = await getJson('analyzer', '/v1/status', config).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(RoleError)
      expect(failure).toHaveProperty(
        'message',
        `what answers 200 at ${url} is not the analyzer: does another program have its port?`,
      )
    },
  ),
)

test('nobody is asked where another program sends us to', () => {
  const asked: (string | undefined)[] = []
  return withAnalyzer(
    ({ url }, response) => {
      asked.push(url)
      response.writeHead(302, { location: '/login' }).end()
    },
    async config => {
      await expect(getJson('analyzer', '/v1/status', config)).rejects.toThrow(
        'the analyzer answers 302 to /v1/status: Found',
      )
      expect(asked).toEqual(['/v1/status'])
    },
  )
})

test('a role that dies in the middle of its answer has not answered', () =>
  withAnalyzer(
    (_request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('{"asOfMs":')
      setTimeout(() => response.destroy(), 50)
    },
    (config, url) =>
      expect(getJson('analyzer', '/v1/status', config)).rejects.toThrow(
        `the analyzer does not answer at ${url}: is it running?`,
      ),
  ))

test('a role that is busy is not said to be away', async () => {
  const timeout = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.timeout(100))
  await withAnalyzer(
    () => undefined,
    (config, url) =>
      expect(getJson('analyzer', '/v1/status', config)).rejects.toThrow(
        `the analyzer has not answered within 120 s at ${url}: is it overloaded?`,
      ),
  ).finally(() => timeout.mockRestore())
})
