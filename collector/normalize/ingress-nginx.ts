/**
 * ingress-nginx of Kubernetes: its own text format, and JSON (`log-format-escape-json`) whose names are nginx's variables.
 * https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/
 */
import { isAccessLike, parseAccessLine } from './access-line.ts'
import { type Decode, type Dialect, refusal, SKIP } from './draft.ts'
import { escapedJsonFields } from './escaped-json.ts'
import { type Fields, isFields } from './fields.ts'
import { draftOfVariables } from './nginx.ts'

/** What follows the request in the format `upstreaminfo`, by the names of the variables. */
const COLUMNS = [
  'status',
  'body_bytes_sent',
  'http_referer',
  'http_user_agent',
  'request_length',
  'request_time',
  'proxy_upstream_name',
  'proxy_alternative_upstream_name',
  'upstream_addr',
  'upstream_response_length',
  'upstream_response_time',
  'upstream_status',
  'req_id',
] as const

export const ingressNginx: Dialect = {
  name: 'ingress-nginx',
  framing: { kind: 'text' },
  definition: 'ingress-nginx',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  if (isFields(raw)) return draftOfVariables(raw)
  const text = typeof raw === 'string' ? raw : ''
  const variables = lineVariables(text)
  if (variables !== null) return draftOfVariables(variables)
  // The controller and nginx's error log write to the same output.
  return isAccessLike(text) || text.startsWith('{') ? refusal('unreadable', 'This is no line of `upstreaminfo`.') : SKIP
}

function lineVariables(text: string): Fields | null {
  if (text.startsWith('{')) return escapedJsonFields(text)
  const line = parseAccessLine(text)
  if (line === null || line.words.length < COLUMNS.length) return null
  const variables: Record<string, unknown> = {
    ...{ msec: line.atMs / 1000, remote_addr: line.address, remote_user: line.user, request: line.request },
  }
  for (const [index, column] of COLUMNS.entries()) variables[column] = line.words[index]
  return variables
}
