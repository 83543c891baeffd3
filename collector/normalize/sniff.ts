/**
 * Dialect `auto`, for inputs of which nobody said what wrote them: each is told by names that only one gateway writes, or by
 * the shape of its line, and read by that gateway's dialect. What is told by nothing is unknown: a `duration` alone may be
 * nanoseconds or seconds, and a wrong number is worse than none. A source that names its dialect is never sniffed at.
 */
import { parseAccessLine } from './access-line.ts'
import { agentgateway } from './agentgateway.ts'
import { apache } from './apache.ts'
import { apigee } from './apigee.ts'
import { apipark } from './apipark.ts'
import { apisix } from './apisix.ts'
import { variablesOfLine } from './apisix-variables.ts'
import { awsApiGateway } from './aws-api-gateway.ts'
import { azureApim } from './azure-apim.ts'
import { caddy } from './caddy.ts'
import { canonical } from './canonical.ts'
import { clf } from './clf.ts'
import { cloudflare } from './cloudflare.ts'
import { cloudflareAiGateway } from './cloudflare-ai-gateway.ts'
import { type Decode, type DecodeContext, type Decoded, type Dialect, type Refusal, refusal } from './draft.ts'
import { envoy } from './envoy.ts'
import { envoyAiGateway } from './envoy-ai-gateway.ts'
import { type Fields, fieldsAt, isFields, textOf } from './fields.ts'
import { handMadeFields } from './hand-made-json.ts'
import { haproxy } from './haproxy.ts'
import { higress } from './higress.ts'
import { ingressNginx } from './ingress-nginx.ts'
import { istio } from './istio.ts'
import { kong } from './kong.ts'
import { krakend } from './krakend.ts'
import { litellm } from './litellm.ts'
import { nginx } from './nginx.ts'
import { openmeter } from './openmeter.ts'
import { otlp } from './otlp.ts'
import { portkey } from './portkey.ts'
import { spring } from './spring.ts'
import { traefik } from './traefik.ts'
import { tyk } from './tyk.ts'

/** Names that together only one gateway writes; the first sign that fits holds. */
const JSON_SIGNS: readonly (readonly [dialect: Dialect, isIts: (raw: Fields) => boolean])[] = [
  [canonical, raw => raw.startedAtMs !== undefined],
  [kong, raw => raw.started_at !== undefined && (isFields(raw.latencies) || isFields(raw.session))],
  [apisix, raw => raw.start_time !== undefined && isFields(raw.request) && isFields(raw.response)],
  [apisix, raw => raw.apisix_request_id !== undefined && raw.request_time !== undefined],
  [traefik, raw => raw.DownstreamStatus !== undefined],
  [caddy, raw => textOf(raw.logger)?.startsWith('http.log.access') === true],
  [tyk, raw => isTyk(raw) || isTyk(fieldsAt(raw, 'event')) || isFields(raw['tyk-analytics-record'])],
  [litellm, raw => raw.call_type !== undefined && raw.startTime !== undefined],
  [cloudflare, raw => raw.RayID !== undefined && raw.EdgeStartTimestamp !== undefined],
  [azureApim, raw => /^GatewayLogs$/i.test(textOf(raw.category ?? raw.Category) ?? '')],
  [otlp, raw => raw.otlp !== undefined],
  [openmeter, raw => raw.specversion !== undefined],
  [higress, raw => raw.ai_log !== undefined && raw.response_flags !== undefined],
  [envoyAiGateway, raw => raw.response_flags !== undefined && hasGenAi(raw)],
  [istio, raw => raw.response_flags !== undefined && textOf(raw.upstream_cluster)?.includes('bound|') === true],
  [envoy, raw => isFields(raw.als) || (raw.response_flags !== undefined && raw.response_code !== undefined)],
  [agentgateway, raw => raw['http.status'] !== undefined && (raw['src.addr'] ?? raw.gateway) !== undefined],
  [awsApiGateway, raw => (raw.extendedRequestId ?? raw.extId) !== undefined],
  [awsApiGateway, raw => raw.responseLength !== undefined && (raw.routeKey ?? raw.resourcePath) !== undefined],
  [apigee, raw => raw.t_start !== undefined && raw.t_status !== undefined],
  [portkey, raw => raw.ai_org !== undefined && raw.response_time !== undefined],
  [cloudflareAiGateway, raw => raw.tokens_in !== undefined && raw.duration !== undefined],
  [cloudflareAiGateway, raw => raw.Gateway !== undefined && raw.StatusCode !== undefined],
  [apipark, raw => raw.proxy_status !== undefined && (raw.msec ?? raw.time_iso8601) !== undefined],
  [haproxy, raw => raw.Ta !== undefined && raw.ST !== undefined],
  [ingressNginx, raw => raw.req_id !== undefined && raw.request_time !== undefined],
  // Apinto has a `request_time` too, in milliseconds.
  [nginx, raw => raw.request_time !== undefined && (raw.bytes_sent ?? raw.body_bytes_sent) !== undefined],
]

const isTyk = (raw: Fields) =>
  (raw.prefix === 'access-log' && raw.latency_total !== undefined) ||
  (raw.api_id !== undefined && (raw.request_time ?? raw.request_time_ms) !== undefined)

const hasGenAi = (raw: Fields) =>
  (raw['gen_ai.request.model'] ?? raw['gen_ai.usage.input_tokens'] ?? raw.genai_model_name) !== undefined

const INGRESS_WORDS_MIN = 13
/** Status, bytes, and the two that `combined` adds. */
const COMBINED_WORDS_MAX = 4

/** How lines of text begin or end that only one gateway writes; the first sign that fits holds. */
const LINE_SIGNS: readonly (readonly [dialect: Dialect, isIts: (line: string) => boolean])[] = [
  [krakend, line => line.startsWith('[GIN] ')],
  [istio, line => ENVOY_BEGIN.test(line) && line.includes('bound|')],
  [envoy, line => ENVOY_BEGIN.test(line)],
  [haproxy, line => HAPROXY_BEGIN.test(line)],
  [agentgateway, line => line.includes(' http.method=') && line.includes(' http.status=')],
  [apisix, line => variablesOfLine(line) !== null],
  [spring, line => line.includes('reactor.netty.http.server.AccessLog')],
  [traefik, line => / "[^"]*" "[^"]*" \d+ms$/.test(line)],
]
const ENVOY_BEGIN = /^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "/
const HAPROXY_BEGIN = /^\S+:\d+ \[\d\d\/[A-Z][a-z]{2}\/\d{4}:[\d:.]+\] \S+ \S+\/\S+ -?\d+\//

/** Lines that descend from the Common Log Format, told by what follows the bytes. */
function dialectOfAccessLine(line: string): Dialect | null {
  const access = parseAccessLine(line)
  if (access === null) return null
  const { words, pairs } = access
  if (words.length >= INGRESS_WORDS_MIN) return ingressNginx
  if ((pairs.latency_us ?? pairs.request_id) !== undefined) return apache
  // A number behind the bytes is a duration in a unit that nobody named.
  return words.length === 2 || words.length === COMBINED_WORDS_MAX ? clf : null
}

function dialectOf(raw: unknown): Dialect | null {
  const fields = handMadeFields(raw)
  if (fields !== null) return JSON_SIGNS.find(([, isIts]) => isIts(fields))?.[0] ?? null
  if (typeof raw !== 'string') return null
  return LINE_SIGNS.find(([, isIts]) => isIts(raw))?.[0] ?? dialectOfAccessLine(raw)
}

/** Of an array what each item holds; arrays within it are no documents. */
const unwrap = (document: unknown): readonly unknown[] =>
  Array.isArray(document) ? document.flatMap(inputsIn) : inputsIn(document)

/** What is around the inputs of those gateways that have something around them. */
function inputsIn(document: unknown): readonly unknown[] {
  if (typeof document === 'string') return apisix.unwrap?.(document) ?? [document]
  if (!isFields(document)) return [document]
  const { resourceSpans, resourceLogs, records, logEvents } = document
  if (resourceSpans !== undefined || resourceLogs !== undefined) return otlp.unwrap?.(document) ?? []
  if (Array.isArray(logEvents)) return awsApiGateway.unwrap?.(document) ?? []
  return Array.isArray(records) ? (azureApim.unwrap?.(document) ?? []) : [document]
}

const UNKNOWN =
  'Unknown: nothing here says which gateway wrote it. Name its dialect: `POST /v1/sources/{dialect}`, or a source of the config.'

/** Text may hold a credential in any of its columns. */
const unknown = (raw: unknown): Refusal => ({
  ...refusal('unreadable', UNKNOWN),
  isInputSecret: typeof raw === 'string',
})

export const auto: Dialect = {
  name: 'auto',
  framing: { kind: 'text' },
  definition: ['auto 1', ...JSON_SIGNS, ...LINE_SIGNS]
    .map(sign => (typeof sign === 'string' ? sign : sign[0].definition))
    .join(),
  hasUnnamedSecrets: true,
  unwrap,
  open: createDecode,
}

function createDecode(context: DecodeContext): Decode {
  const decoders = new Map<Dialect, Decode>()
  return raw => {
    const dialect = dialectOf(raw)
    if (dialect === null) return unknown(raw)
    const decode = decoders.get(dialect) ?? dialect.open(context)
    decoders.set(dialect, decode)
    return told(decode(raw), dialect)
  }
}

function told(decoded: Decoded, { name }: Dialect): Decoded {
  if (decoded.kind === 'draft') decoded.dialect ??= name
  return decoded
}
