/** What pages tell to paste, against what its vendor says of it. */
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import type { Destination } from '../../../deploy/gateways/guide.ts'
import { GUIDES } from '../../../deploy/gateways/guides.ts'
import { LIMIT_HEADERS } from '../../../deploy/gateways/limit-headers.ts'
import { EXAMPLE_DESTINATION } from '../../../deploy/gateways/render.ts'

/** The snippets of a guide's own steps, in their order. */
function snippetsOf(guide: string, to: Partial<Destination> = {}): string[] {
  const found = GUIDES.find(({ name }) => name === guide)
  if (found === undefined) throw new Error(`there is no guide ${guide}`)
  return [...found.setups, ...(found.asks ?? [])].flatMap(({ steps }) =>
    steps.flatMap(({ snippet }) => snippet?.of({ ...EXAMPLE_DESTINATION, source: guide, ...to }) ?? []),
  )
}

const snippetWith = (guide: string, text: string) => {
  const found = snippetsOf(guide).find(snippet => snippet.includes(text))
  if (found === undefined) throw new Error(`the guide ${guide} has no snippet with ${text}`)
  return found
}

test('Firehose is given an address on the only port that it knows', () => {
  for (const url of ['http://quotacast:7411', 'https://quotacast.example:8443', 'https://quotacast.example']) {
    const [snippet = ''] = snippetsOf('aws-api-gateway', { url })
    expect(new URL(/"Url": "([^"]+)"/.exec(snippet)?.[1] ?? '')).toMatchObject({
      protocol: 'https:',
      port: '',
      pathname: '/v1/sources/aws-api-gateway',
    })
  }
})

test('an HTTP API of AWS, which writes to CloudWatch Logs alone, is told to', () => {
  expect(snippetWith('aws-api-gateway', 'apigatewayv2')).toContain('"DestinationArn": "arn:aws:logs:')
  expect(snippetWith('aws-api-gateway', 'update-stage --rest-api-id')).toContain('arn:aws:firehose:')
})

test.each(GUIDES.map(({ name }) => name))('what %s pastes for Kubernetes leaves alone what is there', name => {
  for (const snippet of snippetsOf(name).filter(text => /^kind: /m.test(text))) {
    for (const document of parseAllDocuments(snippet)) {
      const { kind, spec, data } = document.toJS()
      // A plugin without its image is none; and a mesh that is pasted whole has lost the rest of its options.
      if (kind === 'WasmPlugin') expect(spec).toMatchObject({ url: expect.stringMatching(/^oci:/) })
      if (kind === 'ConfigMap') expect(Object.keys(data)).not.toContain('mesh')
    }
  }
})

test('what Higress is told of its log is options of the mesh, in JSON', () => {
  const { accessLogEncoding, accessLogFormat } = parse(snippetWith('higress', 'accessLogFormat'))
  expect(accessLogEncoding).toBe('JSON')
  expect(JSON.parse(accessLogFormat)).toMatchObject({ ai_log: '%FILTER_STATE(wasm.ai_log:PLAIN)%' })
})

test('agentgateway sends its spans with the token, to the source', () => {
  const { frontendPolicies } = parse(snippetWith('agentgateway', 'tracing:'))
  expect(frontendPolicies.tracing).toMatchObject({
    host: 'quotacast:7411',
    path: '/v1/sources/agentgateway/v1/traces',
    policies: { requestHeaderModifier: { set: { Authorization: 'Bearer QUOTACAST_TOKEN' } } },
  })
})

test('Kong, whose log tells the headers that clients sent, takes the id of a decision from none of them', () => {
  const asking = snippetWith('kong', 'post-function')
  const cleared = asking.indexOf('kong.service.request.clear_header("X-Quotacast-Decision-Id")')
  expect(cleared).toBeGreaterThan(asking.indexOf('return function()'))
  expect(cleared).toBeLessThan(asking.indexOf('request_uri'))
})

test('KrakenD hands the id of a decision, and none that a client chose, to the backends, whose spans tell it', () => {
  const script = snippetWith('krakend', 'function quotacast')
  expect(script).toContain("call:headers('X-Quotacast-Decision-Id', answer:headers('X-Quotacast-Decision-Id'))")
  const endpoint = JSON.parse(snippetWith('krakend', 'modifier/lua-endpoint'))
  expect(endpoint.input_headers).toEqual(['X-Quotacast-Decision-Id'])
  const { layers } = JSON.parse(`{${snippetWith('krakend', 'telemetry/opentelemetry')}}`)['telemetry/opentelemetry']
  expect(layers.backend.traces).toEqual({ round_trip: true, report_headers: true })
})

test('ingress-nginx logs whether an answer was whole, and every limit that providers tell', () => {
  const { 'log-format-upstream': format } = parse(snippetWith('ingress-nginx', 'kind: ConfigMap')).data
  const variables = Object.keys(JSON.parse(format.replaceAll(/:\$\w+/g, ':0')))
  expect(variables).toContain('request_completion')
  expect(variables).toEqual(
    expect.arrayContaining(LIMIT_HEADERS.map(name => `upstream_http_${name.replaceAll('-', '_')}`)),
  )
})

test('Logpush is asked for instants finer than seconds, and for headers as rules have left them', () => {
  const job = JSON.parse(/--data '(.*)'$/s.exec(snippetWith('cloudflare', '"dataset"'))?.[1] ?? '')
  expect(job.output_options.timestamp_format).toBe('unixnano')
  const rules = JSON.parse(/--data '(.*)'$/s.exec(snippetWith('cloudflare', 'log_custom_field'))?.[1] ?? '').rules
  // What `request_fields` names is logged as the client sent it.
  const {
    request_fields: raw,
    transformed_request_fields: request,
    response_fields: answer,
  } = rules[0].action_parameters
  expect(raw).toBeUndefined()
  expect(request).toEqual([{ name: 'x-consumer-id' }])
  expect(answer).toEqual([...LIMIT_HEADERS, 'x-quotacast-denied'].map(name => ({ name })))
})

test('Higress is named the images that its console names', () => {
  for (const plugin of ['ai-statistics', 'ext-auth', 'transformer']) {
    const { url } = parse(snippetWith('higress', `plugins/${plugin}`)).spec
    expect(url).toBe(`oci://higress-registry.cn-hangzhou.cr.aliyuncs.com/plugins/${plugin}:2.0.3`)
  }
})

test('Istio asks with the very filter that Envoy does, before the router', () => {
  const { configPatches: patches } = parse(snippetWith('istio', 'quotacast-asks')).spec
  const [cluster, filter, manager, who] = patches.map((each: { patch: { value: unknown } }) => each.patch.value)
  const { http_filters: filters, ...members } = parse(snippetWith('envoy', 'failure_mode_allow'))
  expect(filter).toEqual(filters[0])
  expect(manager.typed_config).toMatchObject(members)
  expect(who).toEqual(parse(snippetWith('envoy', 'context_extensions').replace('gateway: envoy', 'gateway: istio')))
  expect(cluster).toEqual(parse(snippetWith('envoy', 'quotacast_limiter\n    type')).clusters[0])
  expect(patches[1]).toMatchObject({
    applyTo: 'HTTP_FILTER',
    match: { listener: { filterChain: { filter: { subFilter: { name: 'envoy.filters.http.router' } } } } },
    patch: { operation: 'INSERT_BEFORE' },
  })
})

test('Higress drops the id of a decision that a client sends before it asks', () => {
  const { phase, defaultConfig } = parse(snippetWith('higress', 'plugins/transformer')).spec
  expect(phase).toBe('AUTHN')
  expect(parse(snippetWith('higress', 'plugins/ext-auth')).spec.phase).toBe('AUTHZ')
  expect(defaultConfig.reqRules).toEqual([{ operate: 'remove', headers: [{ key: 'x-quotacast-decision-id' }] }])
})

test('APISIX drops the id of a decision that a client sends, before any other plugin runs', () => {
  const { 'serverless-pre-function': first } = JSON.parse(snippetWith('apisix', 'forward-auth'))
  expect(first.phase).toBe('rewrite')
  expect(first.functions).toEqual([expect.stringContaining("set_header(ctx, 'X-Quotacast-Decision-Id', nil)")])
})

test('agentgateway asks as forward-auth does, and logs what it was answered', () => {
  const { extAuthz } = parse(snippetWith('agentgateway', 'extAuthz:\n'))
  expect(extAuthz).toMatchObject({ host: 'quotacast:7412', failureMode: 'allow' })
  const { path, addRequestHeaders, metadata } = extAuthz.protocol.http
  // Expressions in CEL, in which text has quotes.
  expect(path).toBe('"/v1/auth"')
  expect(addRequestHeaders).toMatchObject({
    'x-quotacast-token': '"QUOTACAST_TOKEN"',
    'x-quotacast-gateway': '"agentgateway"',
  })
  const { add } = parse(snippetWith('agentgateway', 'decision_id: extauthz')).frontendPolicies.accessLog
  expect(Object.keys(metadata)).toEqual(['consumer', 'decision_id'])
  expect(add).toMatchObject({ gateway: '"agentgateway"', decision_id: 'extauthz.decision_id' })
})

test('programs in Node record no id of a decision that a client sent', async () => {
  type Hook = (request: unknown, response: unknown, next?: () => void) => void | Promise<void>
  const hooks: Hook[] = []
  const app = { use: (hook: Hook) => hooks.push(hook), addHook: (_name: string, hook: Hook) => hooks.push(hook) }
  const response = { elapsedTime: 5, statusCode: 200, once: (_event: string, heard: () => void) => void heard() }
  for (const text of ['app.use((request', "addHook('onResponse'"]) {
    const calls = runInNewContext(`${snippetWith('node', text)}\ncalls`, { app, crypto })
    const headers = { 'x-api-key': 'a key', 'x-quotacast-decision-id': 'forged' }
    for (const hook of hooks.splice(0)) await hook({ url: '/v1/chat?x=1', method: 'GET', headers }, response, () => {})
    expect(calls).toHaveLength(1)
    expect(calls[0]).toMatchObject({ route: '/v1/chat', credential: 'a key' })
    expect(calls[0].decisionId).toBeUndefined()
  }
})

/** All that the API of Portkey's exports takes; it refuses an export of anything else. */
const PORTKEY_COLUMNS = [
  ...[
    'id',
    'trace_id',
    'created_at',
    'request',
    'response',
    'is_success',
    'ai_org',
    'ai_model',
    'req_units',
    'res_units',
  ],
  ...['total_units', 'request_url', 'cost', 'cost_currency', 'response_time', 'response_status_code', 'mode', 'config'],
  ...['prompt_slug', 'metadata'],
]

test('Portkey is asked for columns that its exports have, and for none with prompts', () => {
  const { requested_data: columns } = JSON.parse(snippetWith('portkey', 'requested_data'))
  for (const column of columns) expect(PORTKEY_COLUMNS).toContain(column)
  expect(columns).not.toContain('request')
  expect(columns).not.toContain('response')
})

test('Portkey pushes the rows of its analytics to the source, with the token', () => {
  expect(snippetWith('portkey', 'OTEL_PUSH_ENABLED=true').split('\n')).toEqual([
    'OTEL_PUSH_ENABLED=true',
    'OTEL_ENDPOINT=http://quotacast:7411/v1/sources/portkey',
    'OTEL_EXPORTER_OTLP_HEADERS=x-quotacast-token=QUOTACAST_TOKEN',
  ])
})

/** What Tyk's plugin makes of a request when the limiter answers so: the request, and what becomes of the metadata of the key. */
function askedByTyk(answer: object): { request: { ReturnOverrides: object }; meta: unknown } {
  const request = { URL: '/v1/chat', Headers: {}, ReturnOverrides: {} }
  const session = { alias: 'acme', meta_data: { plan: 'gold' } }
  const plugin = `var TykJS = { TykMiddleware: { NewMiddleware: function () {
    this.NewProcessRequest = function (process) { result = process(request, session) }
    this.ReturnData = function (request, meta) { return { request: request, meta: meta } }
  } } }
  ${snippetWith('tyk', 'TykMakeHttpRequest')}
  result`
  const globals = { request, session, result: null, log: () => {}, TykMakeHttpRequest: () => JSON.stringify(answer) }
  return runInNewContext(plugin, globals)
}

test("Tyk's plugin leaves the metadata of a key, which Tyk saves as it is returned, and answers with the limiter's own words", () => {
  const passed = askedByTyk({ Code: 200, Body: '', Headers: {} })
  expect(passed).toMatchObject({ request: { ReturnOverrides: {} }, meta: { plan: 'gold' } })
  const denied = askedByTyk({ Code: 429, Body: '{"status":429}', Headers: { 'Retry-After': ['17'] } })
  expect(denied.meta).toEqual({ plan: 'gold' })
  expect(denied.request.ReturnOverrides).toEqual({
    ResponseCode: 429,
    ResponseBody: '{"status":429}',
    ResponseHeaders: { 'Retry-After': '17' },
    // Otherwise Tyk puts the text into an error of its own.
    OverrideError: true,
  })
})

describe('the OpenTelemetry Collector for spans', () => {
  const { processors, exporters, extensions, service } = parse(snippetWith('otlp', 'groupbytrace'))
  const { processors: order } = service.pipelines.traces

  test('waits for the rest of a call for longer than SDKs keep spans, 5 seconds', () => {
    expect(Number.parseInt(processors.groupbytrace.wait_duration, 10)).toBeGreaterThan(5)
  })

  test('sends many calls at once, and none of them in two parts', () => {
    expect(order.indexOf('batch')).toBeGreaterThan(order.indexOf('groupbytrace'))
    expect(Object.keys(processors.batch)).toEqual(['send_batch_size'])
  })

  test('keeps on disk what is not sent yet, as much of it as fits there', () => {
    const { sending_queue } = exporters['otlphttp/quotacast']
    expect(sending_queue).toEqual({ storage: 'file_storage', sizer: 'bytes', queue_size: expect.any(Number) })
    expect([service.extensions, Object.keys(extensions)]).toEqual([['file_storage'], ['file_storage']])
  })
})
