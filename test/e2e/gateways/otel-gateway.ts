/**
 * A small gateway with OpenTelemetry's own SDK, set up by its standard variables: a SERVER span for each call, and a CLIENT
 * span for what it asked upstream. Arguments: its port, that of the backend, and one where nobody listens.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type Attributes, context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { LIMIT_HEADERS } from './backend.ts'
import { CONSUMER, KEY } from './traffic.ts'

const [port, backendPort, deadPort] = process.argv.slice(2).map(Number)
new NodeSDK().start()
const tracer = trace.getTracer('gateway')

createServer((incoming, outgoing) => {
  const server = tracer.startSpan('call', { kind: SpanKind.SERVER, attributes: attributesOf(incoming) })
  const [path] = pathAndQuery(incoming)
  const client =
    path === '/denied' ? null : askUpstream(incoming, outgoing, server, path === '/dead' ? deadPort : backendPort)
  if (client === null) outgoing.writeHead(429).end()
  outgoing.once('close', () => {
    if (outgoing.headersSent) server.setAttribute('http.response.status_code', outgoing.statusCode)
    // One right after the other, so that they are sent together.
    client?.end()
    server.end()
  })
}).listen(port, '::')

const pathAndQuery = ({ url = '' }: IncomingMessage) => url.split('?')

function attributesOf(incoming: IncomingMessage): Attributes {
  const { method, headers, socket } = incoming
  const [path, query] = pathAndQuery(incoming)
  const key = String(headers['x-api-key'])
  return {
    'http.request.method': method,
    'url.path': path,
    ...(query === undefined ? {} : { 'url.query': query }),
    'server.address': headers.host,
    'client.address': socket.remoteAddress,
    'http.request.body.size': Number(headers['content-length']),
    // Keys without a name are captured as they are, which is what Quotacast has to bear.
    ...(key === KEY ? { 'enduser.id': CONSUMER } : { 'http.request.header.x-api-key': [key] }),
  }
}

/** Answers the client with what the upstream answers; the span is not ended. */
function askUpstream(incoming: IncomingMessage, outgoing: ServerResponse, server: Span, to: number | undefined): Span {
  const { method, url, headers } = incoming
  const attributes = { 'http.request.method': method }
  const client = tracer.startSpan('ask', { kind: SpanKind.CLIENT, attributes }, trace.setSpan(context.active(), server))
  const asking = request({ port: to, path: url, method, headers }, response => {
    const { statusCode = 0 } = response
    client.setAttribute('http.response.status_code', statusCode)
    for (const name of Object.keys(LIMIT_HEADERS)) {
      const value = response.headers[name]
      if (value !== undefined) client.setAttribute(`http.response.header.${name}`, [String(value)])
    }
    let bytes = 0
    response.on('data', chunk => {
      bytes += chunk.length
    })
    response.once('end', () => server.setAttribute('http.response.body.size', bytes))
    response.pipe(outgoing.writeHead(statusCode))
  })
  asking.once('error', error => {
    client.recordException(error)
    client.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
    if (!outgoing.headersSent) outgoing.writeHead(503).end()
  })
  outgoing.once('close', () => asking.destroy())
  incoming.pipe(asking)
  return client
}
