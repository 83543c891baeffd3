/**
 * A call in the variables of APISIX, which has nginx's and some of its own: a `log_format` whose keys are the names of the
 * variables that they hold, and the lines of its default `access_log`.
 */
import { clfInstant } from './access-line.ts'
import type { Draft } from './draft.ts'
import { durationOf, type Fields, firstText, positiveOf, textOf } from './fields.ts'
import { presentLabels } from './labels.ts'
import { draftOfVariables } from './nginx.ts'
import { instantOfIso } from './time.ts'

/** The draft of variables by their names without the `$`. */
export function draftOfApisixVariables(variables: Fields): Draft {
  const draft = draftOfVariables(variables)
  draft.endedAtMs ??= instantOfIso(variables['@timestamp'])
  draft.requestId = firstText(variables.apisix_request_id, draft.requestId)
  draft.consumer = firstText(variables.consumer_name, draft.consumer)
  draft.clientIp ??= textOf(variables.client_ip)
  draft.decisionId ??= textOf(variables.http_x_quotacast_decision_id)
  draft.service = firstText(draft.service, variables.service_id)
  // Milliseconds, as against nginx's own variable.
  draft.upstreamLatencyMs = durationOf(variables.apisix_upstream_response_time, 1) ?? draft.upstreamLatencyMs
  draft.model = firstText(variables.llm_model, variables.request_llm_model, draft.model)
  draft.inputTokens = positiveOf(variables.llm_prompt_tokens) ?? draft.inputTokens
  draft.outputTokens = positiveOf(variables.llm_completion_tokens) ?? draft.outputTokens
  draft.labels = presentLabels({ gatewayRoute: variables.route_name ?? variables.route_id })
  return draft
}

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
