/** LiteLLM with what its page tells to paste: it asks before each call, ships what was called, and the one settles the other. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { EXAMPLE_DESTINATION } from '../../deploy/gateways/render.ts'
import { freePorts } from '../free-ports.ts'
import { describeWith } from '../servers/describe-with.ts'
import type { Gateway } from '../servers/gateways/gateway.ts'
import { LITELLM_INSTALL_MS, LITELLM_START_MS, litellmChecks, startLitellm } from '../servers/gateways/litellm.ts'
import { guided } from './gateways/guided.ts'
import { type Quotacast, startQuotacast } from './quotacast.ts'

const SETUP_MS = LITELLM_INSTALL_MS + 2 * LITELLM_START_MS
const TEST_MS = 180_000
const STORED_MS = 60_000
const LIMIT = 5
const MASTER_KEY = 'sk-fake-master-0123456789abcdef0123456789abcdef'
const KEY = 'sk-fake-0123456789-of-acme'
/** Of a tenant that has no quota. */
const FREE_KEY = 'sk-fake-0123456789-of-globex'
/** What a mocked answer is counted as. */
const INPUT_TOKENS = 10
const OUTPUT_TOKENS = 20

/** Who calls, without a database. */
const AUTH = `from litellm.proxy._types import UserAPIKeyAuth

async def authenticate(request, api_key):
    team = api_key.split("-")[-1]
    return UserAPIKeyAuth(api_key=api_key, key_alias=f"{team}-key", team_id=team)`

const mocked = (name: string, answer: string) => ({
  model_name: name,
  litellm_params: { model: 'openai/gpt-4o', api_key: 'sk-none', mock_response: answer },
})

describeWith(litellmChecks, 'LiteLLM', () => {
  let quotacast: Quotacast
  let proxy: Gateway
  let port: number

  beforeAll(async () => {
    const window = { kind: 'calendar', every: 'year', timezone: 'UTC' }
    const quota = {
      name: 'calls',
      match: { tenant: 'acme' },
      per: ['consumer'],
      unit: 'requests',
      limit: LIMIT,
      window,
    }
    quotacast = await startQuotacast({ quotas: [quota] })
    ;[port = 0] = await freePorts(1)
    const { collector: url, limiter: limiterUrl } = quotacast.urls
    const to = { ...EXAMPLE_DESTINATION, source: 'litellm', url, limiterUrl, token: quotacast.token }
    const { snippets } = guided('litellm', ['Over HTTP', 'With a call hook'], to, null)
    const [log = '', logging = '', hook = '', callbacks = ''] = snippets
    const shipping = parse(logging)
    const config = {
      model_list: [mocked('chat', 'hello'), mocked('busy', 'litellm.RateLimitError')],
      router_settings: { num_retries: 0 },
      general_settings: { custom_auth: 'custom_auth.authenticate', master_key: MASTER_KEY },
      ...shipping,
      litellm_settings: { ...shipping.litellm_settings, ...parse(callbacks).litellm_settings },
    }
    const modules = {
      'custom_auth.py': AUTH,
      'quotacast_log.py': log,
      // A slow machine gets more than half a second.
      'quotacast_limits.py': hook.replace('TIMEOUT_SECONDS = 0.5', 'TIMEOUT_SECONDS = 15'),
    }
    proxy = await startLitellm(port, stringify(config), modules)
  }, SETUP_MS)
  afterAll(async () => {
    await Promise.all([proxy?.stop(), quotacast?.stop()])
    quotacast?.remove()
  }, SETUP_MS)

  async function call(model: string, key = KEY) {
    const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'a secret prompt' }] }),
    })
    return { status: response.status, headers: response.headers, body: await response.text() }
  }

  test('calls pass until the quota is used up, and what is used is what was served', { timeout: TEST_MS }, async () => {
    const beginMs = Date.now()
    expect((await call('busy')).status).toBe(429)
    for (let turn = 1; turn < LIMIT; turn++) expect((await call('chat')).status).toBe(200)
    const denied = await call('chat')
    expect(denied.status).toBe(429)
    expect(Number(denied.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(denied.body).toContain('The quota calls is used up.')

    const rows = () =>
      quotacast.query(`SELECT outcome, count() AS rows, min(consumer) AS consumer, min(tenant) AS tenant,
        min(input_tokens) AS inputTokens, max(output_tokens) AS outputTokens, min(model) AS model, min(provider) AS provider,
        min(toUnixTimestamp64Milli(started_at)) BETWEEN ${beginMs} AND ${Date.now()} AS isSince
        FROM calls GROUP BY outcome ORDER BY outcome`)
    const all = { consumer: 'acme-key', tenant: 'acme', model: 'gpt-4o', provider: 'openai', isSince: 1 }
    await expect.poll(rows, { timeout: STORED_MS }).toMatchObject([
      { ...all, outcome: 'exhausted', rows: 1 },
      { outcome: 'limited', rows: 1, consumer: 'acme-key', tenant: 'acme' },
      { ...all, outcome: 'ok', rows: LIMIT - 1, inputTokens: INPUT_TOKENS, outputTokens: OUTPUT_TOKENS },
    ])
    expect(await quotacast.query('SELECT * FROM rejections')).toEqual([])
    const question = { tenant: 'acme', consumer: 'acme-key', cost: { requests: 0 }, dryRun: true }
    const state = async () => (await quotacast.post('limiter', '/v1/check', question)).body.quotas[0]
    await expect.poll(state, { timeout: STORED_MS }).toMatchObject({ used: LIMIT, reserved: 0 })
    for (const secret of [KEY, 'a secret prompt']) {
      expect(JSON.stringify(await quotacast.query('SELECT * FROM calls'))).not.toContain(secret)
    }
  })

  test('calls that end while others are sent, or while the collector is away, are all told', {
    timeout: TEST_MS,
  }, async () => {
    const calls = 60
    const stored = () => quotacast.query(`SELECT count() AS calls FROM calls WHERE tenant = 'globex'`)
    for (let made = 0; made < calls; made += 10) {
      if (made === calls / 2) quotacast.kill('collector')
      const answers = await Promise.all(Array.from({ length: 10 }, () => call('chat', FREE_KEY)))
      expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200))
    }
    await expect.poll(stored, { timeout: STORED_MS }).toEqual([{ calls }])
  })
})
