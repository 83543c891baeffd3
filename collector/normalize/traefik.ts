/**
 * Traefik's access log: JSON, `common` with its four columns behind the Common Log Format, and `genericCLF` without them.
 * https://doc.traefik.io/traefik/reference/install-configuration/observability/logs-and-accesslogs/
 */
import { isAccessLike, parseAccessLine } from './access-line.ts'
import { draftOfLine } from './clf.ts'
import { putDenial } from './denial.ts'
import { type Decode, type Decoded, type Dialect, type Draft, emptyDraft, refusal, SKIP } from './draft.ts'
import {
  countOf,
  durationOf,
  type Fields,
  firstText,
  goDurationMs,
  instantOfNanos,
  isFields,
  numberOf,
  positiveOf,
  textOf,
  withoutPort,
} from './fields.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { putTarget } from './request-line.ts'
import { parseIso } from './time.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

const MS_PER_NANOSECOND = 1e-6

export const traefik: Dialect = {
  name: 'traefik',
  framing: { kind: 'text' },
  definition: 'traefik',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  // Traefik's messages about itself go to the same output.
  if (isFields(raw)) return 'Duration' in raw || 'DownstreamStatus' in raw ? draftOfEntry(raw) : SKIP
  if (typeof raw !== 'string') return SKIP
  if (raw.startsWith('{')) return refusal('unreadable', 'This is not JSON.')
  return isAccessLike(raw) ? draftOfText(raw) : SKIP
}

function draftOfEntry(entry: Fields): Draft {
  const draft = emptyDraft()
  const status = numberOf(entry.DownstreamStatus)
  // 0 where a middleware answered, if it is there at all.
  const originStatus = positiveOf(entry.OriginStatus)
  const headers = headersOf(entry)
  draft.requestId = requestIdOf(entry)
  draft.startedAtMs = startedAtMsOf(entry)
  draft.consumer = textOf(entry.ClientUsername)
  draft.method = textOf(entry.RequestMethod)
  draft.host = textOf(entry.RequestHost)
  const header = headerReader(headers.request)
  putTarget(draft, textOf(entry.RequestPath), header)
  draft.decisionId = header('x-quotacast-decision-id')
  draft.service = textOf(entry.ServiceName)
  draft.status = status
  const isFromUpstream = originStatus !== null && originStatus === status
  draft.outcome = isTorn(entry, status) ? 'aborted' : outcomeOf({ status, isFromUpstream })
  draft.latencyMs = durationOf(entry.Duration, MS_PER_NANOSECOND)
  draft.upstreamLatencyMs = originStatus === null ? null : durationOf(entry.OriginDuration, MS_PER_NANOSECOND)
  draft.requestBytes = countOf(entry.RequestContentSize)
  draft.responseBytes = countOf(entry.DownstreamContentSize)
  putUpstreamLimits(draft, headerReader(headers.origin))
  putDenial(draft, headerReader(headers.downstream))
  draft.clientIp = clientIpOf(entry)
  draft.labels = presentLabels({ router: entry.RouterName })
  return draft
}

/** A server was asked and its answer begun, of which nothing is said: it did not get to its end. */
const isTorn = ({ OriginStatus: originStatus, ServiceAddr: server }: Fields, status: number | null) =>
  status !== null && status >= 200 && status < 400 && numberOf(originStatus) === 0 && textOf(server) !== null

/** Text in its own log, nanoseconds over OTLP. */
function startedAtMsOf({ StartUTC: utc, StartLocal: local }: Fields): number | null {
  const text = firstText(utc, local)
  return text === null ? null : (parseIso(text) ?? instantOfNanos(text))
}

/** With tracing on, the span of the call at the entry point is its id; a header of the client is nobody's. */
function requestIdOf(entry: Fields): string | null {
  const trace = firstText(entry.trace_id, entry.TraceId)
  const span = firstText(entry.span_id, entry.SpanId)
  return trace === null || span === null ? null : `${trace}-${span}`
}

/** The connection's address before `ClientHost`, which anybody can set by X-Forwarded-For. */
function clientIpOf({ ClientAddr: address, ClientHost: host }: Fields): string | null {
  const text = textOf(address)
  return text === null ? textOf(host) : withoutPort(text)
}

interface Headers {
  request: Record<string, unknown> | null
  origin: Record<string, unknown> | null
  /** Of the answer that the client got. */
  downstream: Record<string, unknown> | null
}

/** Headers that the config keeps, as `request_X-Api-Key` and `origin_X-Ratelimit-Remaining`. */
function headersOf(entry: Fields): Headers {
  const headers: Headers = { request: null, origin: null, downstream: null }
  for (const name in entry) {
    const side = sideOf(name)
    if (side === null) continue
    headers[side] ??= {}
    headers[side][name.slice(side.length + 1)] = entry[name]
  }
  return headers
}

function sideOf(name: string): keyof Headers | null {
  if (name.startsWith('request_')) return 'request'
  if (name.startsWith('origin_')) return 'origin'
  return name.startsWith('downstream_') ? 'downstream' : null
}

/** Nothing in them is escaped, so they are found from the end, behind whatever a client calls its agent. */
const COLUMNS = / (?:\d+|-) "([^"]*)" "([^"]*)" (\d+ms)$/

function draftOfText(text: string): Decoded {
  const line = parseAccessLine(text)
  if (line === null) return refusal('unreadable', 'This is neither JSON nor `common`.')
  const draft = draftOfLine(line)
  const columns = COLUMNS.exec(text)
  if (columns === null) return draft
  const [, router, server, latency] = columns
  // `common` shows the upstream's status, which is missing where Traefik refused the call or sent it elsewhere.
  draft.outcome =
    draft.status === null
      ? 'client_error'
      : outcomeOf({ status: numberOf(draft.status), isFromUpstream: textOf(server) !== null })
  draft.latencyMs = goDurationMs(latency)
  draft.labels = presentLabels({ router })
  return draft
}
