/**
 * A gateway with OpenTelemetry's own SDK, set up by its standard variables: two calls as spans, each with the event that
 * tells of it, too, and one as a log record. It ends when all of it was sent.
 */
import { context, logs, SpanKind, trace } from '@opentelemetry/api'
import { NodeSDK } from '@opentelemetry/sdk-node'

const sdk = new NodeSDK()
sdk.start()
const call = (number: number, status: number) => ({
  'http.request.method': 'POST',
  'url.path': `/v1/chat/${number}`,
  'http.response.status_code': status,
  'client.address': '203.0.113.9',
  'enduser.id': 'acme',
  'http.request.body.size': 2 ** 40,
})
const tracer = trace.getTracer('gateway')
for (const [number, status] of [
  [1, 200],
  [2, 429],
] as const) {
  const server = tracer.startSpan('POST', { kind: SpanKind.SERVER, attributes: call(number, status) })
  const upstream = {
    'gen_ai.provider.name': 'openai',
    'gen_ai.response.model': 'gpt-5',
    'gen_ai.usage.input_tokens': 7,
  }
  const within = trace.setSpan(context.active(), server)
  const chat = tracer.startSpan('chat', { kind: SpanKind.CLIENT, attributes: upstream }, within)
  logs.getLogger('gateway').emit({
    eventName: 'gen_ai.client.inference.operation.details',
    attributes: upstream,
    context: trace.setSpan(within, chat),
  })
  chat.end()
  server.end()
}
logs.getLogger('gateway').emit({ body: 'a call', attributes: call(3, 500) })
logs.getLogger('gateway').emit({ body: 'the gateway has started' })
await sdk.shutdown()
