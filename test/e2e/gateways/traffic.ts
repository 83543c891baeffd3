/** What is sent through every gateway, and what has to be in `calls` of it. */
import { once } from 'node:events'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '../../../collector/call-record.ts'
import { type Backend, DOWNLOAD_BYTES, SLOW_MS } from './backend.ts'

/** Part of every secret that is sent, so that one search finds them all. */
export const SECRET = 's3cr3t'
export const KEY = `key-${SECRET}-of-acme`
export const CONSUMER = 'acme'
export const HOST = 'gw.example'
/** After which clients give up what does not end. */
const PATIENCE_MS = 100
const UPLOAD_BYTES = 300_000
/** Most bytes of the headers of a request or an answer. */
const HEADER_BYTES = 4096
/** By how much clocks that gateways cache, and a machine that does something else, may be off: no unit is so near another. */
const CLOCK_MS = 2000

export interface Call {
  /** As it has to be in `calls`; no two calls have the same. */
  route: string
  /** What is sent; absent: the route. */
  target?: string
  method?: string
  key?: string
  isIPv6?: true
  requestBytes?: number
  /** What most clients see; `null`: it goes before there is an answer. */
  status: number | null
  outcome: Outcome
  responseBytes?: number
  latencyMs?: number
  /** The gateway answers by itself. */
  isLocal?: true
  /** What the upstream said of its limits. */
  hasLimits?: true
}

const ok = { status: 200, outcome: 'ok' } as const

export const CALLS: readonly Call[] = [
  { route: '/ok', ...ok },
  { route: '/users/{id}/orders', target: `/users/8213/orders?page=2&api_key=query-${SECRET}`, ...ok },
  { route: '/quoted/"a\\b"/', ...ok },
  { route: '/caf%C3%A9', ...ok },
  { route: '/stranger', key: `another-${SECRET}`, ...ok },
  { route: '/six', isIPv6: true, ...ok },
  { route: '/upload', method: 'POST', requestBytes: UPLOAD_BYTES, ...ok },
  { route: '/download', responseBytes: DOWNLOAD_BYTES, ...ok },
  { route: '/slow', latencyMs: SLOW_MS, ...ok },
  { route: '/missing', status: 404, outcome: 'client_error' },
  { route: '/broken', status: 500, outcome: 'server_error' },
  { route: '/dead', status: 503, outcome: 'server_error' },
  { route: '/limited', status: 429, outcome: 'exhausted', hasLimits: true },
  { route: '/denied', status: 429, outcome: 'limited', isLocal: true },
  { route: '/hanging', status: null, outcome: 'aborted', latencyMs: PATIENCE_MS },
  { route: '/torn', status: 200, outcome: 'aborted', latencyMs: PATIENCE_MS },
]

/** With the status that the client saw. */
export interface Sent extends Call {
  sentAtMs: number
  doneAtMs: number
}

/** One after the other, each over a connection of its own. */
export async function sendCalls(port: number, backend: Backend): Promise<Sent[]> {
  const sent: Sent[] = []
  for (const call of CALLS) {
    const sentAtMs = Date.now()
    const status = await send(port, call, backend)
    sent.push({ ...call, status, sentAtMs, doneAtMs: Date.now() })
  }
  return sent
}

async function send(port: number, call: Call, backend: Backend): Promise<number | null> {
  const { route, target = route, method = 'GET', key = KEY, isIPv6, requestBytes = 0, status, outcome } = call
  const headers = {
    host: HOST,
    'x-api-key': key,
    authorization: `Bearer bearer-${SECRET}`,
    'user-agent': 'a "client" \\ of [tests] {"status":599}',
    'content-length': requestBytes,
  }
  const sending = request({ host: isIPv6 ? '::1' : '127.0.0.1', port, path: target, method, headers, agent: false })
  const answered = once(sending, 'response')
  sending.end(Buffer.alloc(requestBytes))
  const leave = async () => {
    await sleep(PATIENCE_MS)
    sending.on('error', () => undefined).destroy()
  }
  if (status === null) {
    answered.catch(() => undefined)
    await backend.arrival(route)
    await leave()
    return null
  }
  const [response] = await answered
  if (outcome === 'aborted') {
    response.on('error', () => undefined)
    await leave()
  } else for await (const _chunk of response);
  return response.statusCode
}

/** A row of `calls` in the columns that are compared. */
export interface Row {
  route: string
  method: string
  host: string
  status: number | null
  outcome: string
  consumer: string
  clientIp: string
  startedAtMs: number
  latencyMs: number | null
  upstreamLatencyMs: number | null
  requestBytes: number | null
  responseBytes: number | null
  upstreamLimits: string
  hasRequestId: number
}

export const ROW_COLUMNS = `route, method, host, status, outcome, consumer, client_ip AS clientIp,
  toUnixTimestamp64Milli(started_at) AS startedAtMs, latency_ms AS latencyMs, upstream_latency_ms AS upstreamLatencyMs,
  request_bytes AS requestBytes, response_bytes AS responseBytes, upstream_limits AS upstreamLimits,
  request_id != '' AS hasRequestId`

/** Measures within what the client saw become this, so that a difference shows the others. */
const AS_SENT = 'as sent'
type Measure = typeof AS_SENT | number | string | null

export interface Comparable
  extends Pick<Row, 'route' | 'method' | 'host' | 'status' | 'outcome' | 'consumer' | 'clientIp'> {
  startedAt: Measure
  latency: Measure
  upstreamLatency: Measure
  requestBytes: Measure
  responseBytes: Measure
  upstreamLimits: Measure
  hasRequestId: boolean
}

/** What a gateway that tells everything tells of a call. */
export const expected = ({
  route,
  method = 'GET',
  status,
  outcome,
  key,
  isIPv6,
  isLocal,
  hasLimits,
}: Sent): Comparable => ({
  ...{ route, method, host: HOST, status, outcome },
  consumer: key === undefined ? CONSUMER : '',
  clientIp: isIPv6 ? '0:0:0::' : '127.0.0.0',
  ...{ startedAt: AS_SENT, latency: AS_SENT, upstreamLatency: isLocal ? null : AS_SENT },
  ...{ requestBytes: AS_SENT, responseBytes: AS_SENT, upstreamLimits: hasLimits ? AS_SENT : '' },
  hasRequestId: true,
})

const FINGERPRINT = /^key:[0-9a-f]{24}$/

const within = <T>(value: T, min: number, max: number): T | typeof AS_SENT =>
  typeof value === 'number' && value >= min && value <= max ? AS_SENT : value

/** A row beside the call that it has to be of. */
export function comparable(row: Row, sent: Sent): Comparable {
  const { sentAtMs, doneAtMs, latencyMs = 0, requestBytes = 0, responseBytes = 0 } = sent
  const { route, method, host, status, outcome, consumer, clientIp } = row
  const seenMs = doneAtMs - sentAtMs + CLOCK_MS
  // Timers of ours and of gateways are not the same.
  const leastMs = latencyMs * 0.8
  return {
    ...{ route, method, host, status, outcome, clientIp },
    consumer: FINGERPRINT.test(consumer) ? 'a fingerprint' : consumer,
    startedAt: within(row.startedAtMs, sentAtMs - CLOCK_MS, doneAtMs + CLOCK_MS),
    latency: within(row.latencyMs, leastMs, seenMs),
    // Many measure until the headers of the answer.
    upstreamLatency: within(row.upstreamLatencyMs, sent.outcome === 'aborted' ? 0 : leastMs, seenMs),
    requestBytes: within(row.requestBytes, requestBytes, requestBytes + HEADER_BYTES),
    responseBytes: within(
      row.responseBytes,
      responseBytes,
      sent.outcome === 'aborted' ? Number.POSITIVE_INFINITY : responseBytes + HEADER_BYTES,
    ),
    upstreamLimits: limitsWithin(row, sent),
    hasRequestId: row.hasRequestId === 1,
  }
}

/** Those of the backend: 100 requests, none left, 20 seconds to wait. */
function limitsWithin({ upstreamLimits }: Row, { sentAtMs, doneAtMs }: Sent): Measure {
  if (upstreamLimits === '') return ''
  const { units, retryAfterMs } = JSON.parse(upstreamLimits)
  const { limit, remaining, resetAtMs } = units.requests ?? {}
  const isReset = within(resetAtMs, sentAtMs + 20_000 - CLOCK_MS, doneAtMs + 20_000 + CLOCK_MS) === AS_SENT
  const isAsSent = limit === 100 && remaining === 0 && isReset && retryAfterMs === 20_000
  return isAsSent ? AS_SENT : upstreamLimits
}
