/** Envoy with what its page tells to paste, which tells at the end of each call what it took: what is used up denies. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { EXAMPLE_DESTINATION } from '../../deploy/gateways/render.ts'
import { freePorts } from '../free-ports.ts'
import { describeWith } from '../servers/describe-with.ts'
import { envoyChecks } from '../servers/gateways/envoy.ts'
import { type Backend, startBackend } from './gateways/backend.ts'
import { startEnvoyWith } from './gateways/envoy.ts'
import { guided, replaced } from './gateways/guided.ts'
import { KEY } from './gateways/traffic.ts'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'

/** The first start of Envoy on a machine installs it. */
const SETUP_MS = 300_000
const SOURCE = 'edge'
const TELLING = 'Telling what a call took'
const OTHER_KEY = 'key-of-another'
const CALLS = 3
const TOLD_MS = 30_000
const PRICE_TOKENS = 7

/** It stands for the filter that reads the tokens of an answer. */
const counting = {
  name: 'envoy.filters.http.set_metadata',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config',
    metadata: [{ metadata_namespace: 'io.envoy.ai_gateway', value: { llm_total_token: PRICE_TOKENS } }],
  },
}

describeWith(envoyChecks, 'Envoy', () => {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-stream-done-'))
  let quotacast: Quotacast
  let limiter: { stop(): Promise<void> }
  let backend: Backend

  beforeAll(async () => {
    const window = { kind: 'calendar', every: 'year', timezone: 'UTC' }
    const match = { gateway: SOURCE }
    const quota = {
      name: 'tokens',
      match,
      per: ['consumer'],
      unit: 'total_tokens',
      limit: CALLS * PRICE_TOKENS,
      window,
    }
    const to = { ...EXAMPLE_DESTINATION, source: SOURCE }
    const [, config = ''] = guided('envoy', [TELLING], to, null).snippets
    ;[quotacast, backend] = await Promise.all([prepareQuotacast({ quotas: [quota], ...parse(config) }), startBackend()])
    limiter = await quotacast.serve('limiter')
    await quotacast.ready(['limiter'])
  }, SETUP_MS)
  afterAll(async () => {
    await Promise.all([limiter?.stop(), backend?.stop()])
    quotacast?.remove()
    rmSync(dir, { recursive: true, force: true })
  })

  test('what calls took is used when they end, by those who called', { timeout: SETUP_MS }, async () => {
    const to = {
      ...{ ...EXAMPLE_DESTINATION, source: SOURCE, token: quotacast.token },
      ...{ limiterHost: '127.0.0.1', limiterGrpcPort: quotacast.limiterGrpcPort },
    }
    const { snippets } = guided('envoy', ['With the rate limit service', TELLING], to, null)
    const [asking = '', , clusters = '', telling = ''] = snippets
    const { http_filters } = parse(replaced(asking, 'timeout: 0.1s', 'timeout: 20s'))
    const [port = 0] = await freePorts(1)
    const place = { dir, port, backendPort: backend.port, deadPort: 0, snippets }
    const gateway = await startEnvoyWith(place, {
      access_log: [],
      clusters: parse(clusters).clusters,
      filters: [...http_filters, counting],
      virtualHost: parse(telling),
    })
    try {
      const call = async (key: string) => {
        const response = await fetch(`http://127.0.0.1:${port}/chat`, { headers: { 'x-api-key': key } })
        return { status: response.status, body: await response.text() }
      }
      const used = async (key: string) => {
        const look = { credential: key, dimensions: { gateway: SOURCE }, cost: { total_tokens: 0 }, dryRun: true }
        const { body } = await quotacast.post('limiter', '/v1/check', look)
        return body.quotas[0].used
      }
      for (let turn = 1; turn <= CALLS; turn++) {
        expect(await call(KEY)).toEqual({ status: 200, body: 'ok' })
        // Envoy tells when the call has ended, and does not wait for an answer.
        await expect.poll(() => used(KEY), { timeout: TOLD_MS }).toBe(turn * PRICE_TOKENS)
      }
      expect((await call(KEY)).status).toBe(429)
      expect((await call(OTHER_KEY)).status).toBe(200)
      await expect.poll(() => used(OTHER_KEY), { timeout: TOLD_MS }).toBe(PRICE_TOKENS)
      // What was denied took nothing.
      expect(await used(KEY)).toBe(CALLS * PRICE_TOKENS)
    } finally {
      await gateway.stop()
    }
  })
})
