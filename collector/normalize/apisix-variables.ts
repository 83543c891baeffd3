/**
 * A call in the variables of APISIX, which has nginx's and some of its own: a `log_format` whose keys are the names of the
 * variables that they hold, and the lines of its default `access_log`.
 */
import { clfInstant } from './access-line.ts'
import type { Draft } from './draft.ts'
import { durationOf, type Fields, firstText, numberOf, positiveOf, sumOf, textOf } from './fields.ts'
import { presentLabels } from './labels.ts'
import { draftOfVariables } from './nginx.ts'
import { outcomeOf } from './outcome.ts'
import { instantOfIso } from './time.ts'

const MS_PER_SECOND = 1000

/** The draft of variables by their names without the `$`. */
export function draftOfApisixVariables(variables: Fields): Draft {
  const draft = draftOfVariables(variables)
  draft.endedAtMs ??= instantOfIso(variables['@timestamp'])
  draft.requestId = firstText(variables.apisix_request_id, draft.requestId)
  draft.consumer = firstText(variables.consumer_name, draft.consumer)
  draft.clientIp ??= textOf(variables.client_ip)
  draft.decisionId ??= textOf(variables.http_x_quotacast_decision_id)
  draft.service = firstText(draft.service, variables.service_id)
  draft.model = firstText(variables.llm_model, variables.request_llm_model, draft.model)
  draft.inputTokens = positiveOf(variables.llm_prompt_tokens) ?? draft.inputTokens
  draft.outputTokens = positiveOf(variables.llm_completion_tokens) ?? draft.outputTokens
  draft.labels = presentLabels({ gatewayRoute: variables.route_name ?? variables.route_id })
  // A denial has no upstream, whatever the variables say.
  if (draft.outcome !== 'limited') putUpstream(draft, variables)
  return draft
}

/** AI plugins ask providers by themselves, and older ones leave neither a status nor a time in nginx's variables. */
function putUpstream(draft: Draft, variables: Fields): void {
  draft.upstreamLatencyMs ??= upstreamMsOf(variables.apisix_upstream_response_time)
  // They name the model once they have chosen whom to ask: what was refused before has none.
  if (textOf(variables.llm_model) === null) return
  draft.outcome ??= outcomeOf({ status: numberOf(draft.status), isFromUpstream: true })
}

/** Whole milliseconds of AI plugins, else nginx's seconds, which have a point. */
const upstreamMsOf = (value: unknown) =>
  durationOf(sumOf(value), textOf(value)?.includes('.') === true ? MS_PER_SECOND : 1)

/** Never a colon alone, or a list could be told from the next one in too many ways. */
const ITEM = String.raw`[^\s,":][^\s,"]*`
const LIST = `-|${ITEM}(?:(?:,| :) ${ITEM})*`
const ACCESS_LINE = new RegExp(
  [
    // A user may have spaces in its name; the time has so many characters and no more, or a line of brackets took minutes.
    String.raw`^(?<remote_addr>\S+) - (?<remote_user>.+?) \[(?<time_local>[^\]]{26})\] (?<host>\S+) "(?<request>[^"]*)"`,
    String.raw`(?<status>\d+) (?<body_bytes_sent>\d+) (?<request_time>[\d.]+) "[^"]*" "[^"]*"`,
    `(?:${LIST}) (?<upstream_status>${LIST}) (?<upstream_response_time>${LIST})`,
    '"[^"]*"(?: "(?<apisix_request_id>[^"]*)")?',
  ].join(' '),
)

/** The variables in a line of the default `access_log`, `null` for any other line. */
export function variablesOfLine(line: string): Fields | null {
  const variables = ACCESS_LINE.exec(line)?.groups
  if (variables?.time_local === undefined || clfInstant(variables.time_local) === null) return null
  return variables
}
