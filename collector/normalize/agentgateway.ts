/**
 * agentgateway's access log: a line of `name=value`, or JSON of the same names, which are partly OpenTelemetry's. Its time is
 * the end of the call, its duration has a unit.
 * https://github.com/agentgateway/agentgateway
 */
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal, SKIP } from './draft.ts'
import { countOf, type Fields, firstText, goDurationMs, isFields, textOf, withoutPort } from './fields.ts'
import { addGenAi, genAiOf } from './gen-ai.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { hostOf, putTarget } from './request-line.ts'
import { instantOfIso } from './time.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const agentgateway: Dialect = {
  name: 'agentgateway',
  framing: { kind: 'text' },
  definition: 'agentgateway 1',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  if (typeof raw === 'string' && raw.startsWith('{')) return refusal('unreadable', 'This is not JSON.')
  const fields = isFields(raw) ? raw : typeof raw === 'string' ? logfmtFields(raw) : null
  // What it says of itself goes to the same output.
  if (fields === null || (fields['http.status'] === undefined && fields['http.method'] === undefined)) return SKIP
  const draft = emptyDraft()
  draft.requestId = requestIdOf(fields)
  draft.endedAtMs = instantOfIso(fields.time ?? fields.timestamp)
  draft.latencyMs = goDurationMs(fields.duration)
  draft.gateway = textOf(fields.gateway)
  draft.tenant = textOf(fields.tenant)
  draft.consumer = firstText(fields.consumer, fields['user.id'], fields.user_id, fields['jwt.sub'])
  draft.method = textOf(fields['http.method'])
  draft.host = hostOf(textOf(fields['http.host']))
  putTarget(draft, textOf(fields['http.path']))
  draft.service = textOf(fields.endpoint)
  const address = textOf(fields['src.addr'])
  draft.clientIp = address === null ? null : withoutPort(address)
  draft.decisionId = textOf(fields.decision_id)
  const genAi = genAiOf(fields)
  if (genAi !== null) addGenAi(draft, genAi)
  addEnding(draft, fields)
  return draft
}

function requestIdOf(fields: Fields): string | null {
  const [trace, span] = [textOf(fields['trace.id']), textOf(fields['span.id'])]
  return trace === null || span === null ? textOf(fields.request_id) : `${trace}:${span}`
}

/** `reason` is there where the answer came from no upstream. */
function addEnding(draft: Draft, fields: Fields): void {
  const status = countOf(fields['http.status'])
  const reason = textOf(fields.reason)
  const isFromUpstream = reason === null || reason === 'Upstream'
  draft.status = status
  draft.outcome = reason === 'RateLimit' ? 'limited' : outcomeOf({ status, isFromUpstream })
  const answer = headerReader(fields)
  if (isFromUpstream) putUpstreamLimits(draft, answer)
  putDenial(draft, answer)
  draft.labels = presentLabels({
    gatewayRoute: fields.route,
    operation: fields['gen_ai.operation.name'] ?? fields['mcp.method'],
    error: isFromUpstream ? null : reason,
    stream: fields['llm.streaming'] === true || fields['llm.streaming'] === 'true' ? 'true' : null,
  })
}

const LINE = /^(\d{4}-\d\d-\d\dT\S+)\s+\w+\s+request\s/
/** Values with spaces are quoted, but for prompts, behind which nothing is believed any more. */
const PAIR = /\s(llm\.(?:prompt|completion)|[\w.-]{1,64})=("(?:[^"\\]|\\.)*"|\S*)/g
const PROMPT = /^llm\.(?:prompt|completion)$/

/** The first value of each name; `null` for a line that is none of the access log. */
function logfmtFields(line: string): Fields | null {
  const time = LINE.exec(line)?.[1]
  if (time === undefined) return null
  const fields: Record<string, unknown> = { time }
  for (const [, name = '', value = ''] of line.matchAll(PAIR)) {
    if (PROMPT.test(name)) break
    if (!Object.hasOwn(fields, name) && name !== '__proto__') fields[name] = unquoted(value)
  }
  return fields
}

function unquoted(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value
}
