/**
 * Apache APISIX: the entry that all of its logger plugins write, one of a `log_format` whose keys are the names of the
 * variables that they hold, and the lines of its `access_log`. The entry's durations are milliseconds and it has the start;
 * nginx's variables are seconds, and are written at the end.
 */
import { draftOfApisixVariables, variablesOfLine } from './apisix-variables.ts'
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import {
  countOf,
  durationOf,
  type Fields,
  fieldsAt,
  firstText,
  instantOf,
  isFields,
  positiveOf,
  textOf,
} from './fields.ts'
import { type HeaderReader, headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { addProviderAnswer } from './provider-answer.ts'
import { hostOf, putTarget } from './request-line.ts'
import { splitJson } from './split-json.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const apisix: Dialect = {
  name: 'apisix',
  framing: { kind: 'text' },
  definition: 'apisix 1',
  hasUnnamedSecrets: false,
  unwrap: document => {
    if (typeof document === 'string') return entriesOfInsert(document)
    return Array.isArray(document) ? document : [document]
  },
  open: () => decode,
}

const INSERT = /^\s*INSERT\s+INTO\s[^{]{0,512}FORMAT\s+JSONEachRow\s*/i

/** The clickhouse-logger sends a statement with all entries of a batch behind it. */
function entriesOfInsert(text: string): readonly unknown[] {
  const statement = INSERT.exec(text)?.[0]
  return statement === undefined ? [text] : splitJson(text.slice(statement.length))
}

const NO_ENTRY = 'This is neither an entry of an APISIX logger nor a line of its access log.'

const decode: Decode = raw => {
  if (typeof raw === 'string') {
    const variables = variablesOfLine(raw)
    return variables === null ? refusal('unreadable', NO_ENTRY) : draftOfApisixVariables(variables)
  }
  if (!isFields(raw)) return refusal('unreadable', NO_ENTRY)
  return isFields(raw.request) || isFields(raw.response) ? entryDraft(raw) : draftOfApisixVariables(raw)
}

function entryDraft(raw: Fields): Draft {
  const request = fieldsAt(raw, 'request')
  const response = fieldsAt(raw, 'response')
  const header = headerReader(request.headers)
  const answer = headerReader(response.headers)
  const draft = emptyDraft()
  draft.startedAtMs = instantOf(raw.start_time, 1)
  draft.requestId = firstText(raw.apisix_request_id, raw.request_id, answer('x-request-id'))
  draft.method = textOf(request.method)
  draft.host = hostOf(header('host'))
  draft.clientIp = textOf(raw.client_ip)
  draft.requestBytes = countOf(request.size)
  draft.responseBytes = countOf(response.size)
  draft.consumer = textOf(fieldsAt(raw, 'consumer').username)
  putTarget(draft, textOf(request.uri), header)
  draft.decisionId = header('x-quotacast-decision-id')
  draft.service = textOf(raw.service_id)
  draft.latencyMs = durationOf(raw.latency, 1)
  draft.upstreamLatencyMs = durationOf(raw.upstream_latency, 1)
  draft.labels = presentLabels({ gatewayRoute: raw.route_id })
  const status = countOf(response.status)
  draft.status = status
  const isRefused = draft.upstreamLatencyMs === null && isOwnRefusal(status, answer)
  // AI plugins call providers themselves, and not through nginx, which counts the latency.
  const isFromUpstream = draft.upstreamLatencyMs !== null || (isFields(raw.llm_summary) && !isRefused)
  if (isRefused) draft.outcome = 'limited'
  if (isFromUpstream) {
    draft.outcome = outcomeOf({ status, isFromUpstream })
    putUpstreamLimits(draft, upstreamHeader(answer))
  }
  addSummary(draft, fieldsAt(raw, 'llm_summary'))
  if (isFromUpstream && response.body !== undefined) addProviderAnswer(draft, response.body)
  putDenial(draft, answer)
  return draft
}

/** APISIX's own limits bear the names that everybody uses, in the answers of upstreams too: whose they are cannot be told. */
const upstreamHeader =
  (header: HeaderReader): HeaderReader =>
  name =>
    AMBIGUOUS.has(name) ? null : header(name)
const AMBIGUOUS = new Set(['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'])

const SERVICE_UNAVAILABLE = 503
const TOO_MANY_REQUESTS = 429

/** The limit plugins refuse with a 503, unless told to use a 429; the headers say that nothing was left. */
const isOwnRefusal = (status: number | null, header: HeaderReader) =>
  (status === SERVICE_UNAVAILABLE || status === TOO_MANY_REQUESTS) &&
  (header('x-ratelimit-remaining') === '0' || header('x-ai-ratelimit-remaining') === '0')

/** Variables of AI routes are text, and 0 where nothing is known. */
function addSummary(draft: Draft, summary: Fields): void {
  draft.model = firstText(summary.model, summary.request_model)
  draft.inputTokens = positiveOf(summary.prompt_tokens)
  draft.outputTokens = positiveOf(summary.completion_tokens)
  draft.totalTokens = positiveOf(summary.total_tokens)
}
