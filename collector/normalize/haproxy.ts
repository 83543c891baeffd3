/**
 * HAProxy: `option httplog`, and JSON that is named for the variables of its log-format, which say what their values mean.
 * https://docs.haproxy.org/3.2/configuration.html section 8.2
 */
import type { Outcome } from '../call-record.ts'
import { clfInstant, clfWallClock } from './access-line.ts'
import { putDenial } from './denial.ts'
import { type Decode, type Decoded, type Dialect, type Draft, emptyDraft, refusal, SKIP } from './draft.ts'
import { escapedJsonFields } from './escaped-json.ts'
import { countOf, durationOf, type Fields, firstText, isFields, textOf } from './fields.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { type WallClock, wallClockOf } from './local-time.ts'
import { type Ending, outcomeOf } from './outcome.ts'
import { putOwnFields } from './own-fields.ts'
import { hostOf, putRequestLine, putTarget } from './request-line.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const haproxy: Dialect = {
  name: 'haproxy',
  framing: { kind: 'text' },
  definition: 'haproxy',
  hasUnnamedSecrets: false,
  open: ({ timezone }) => createDecode(wallClockOf(timezone)),
}

const createDecode =
  (wallClock: WallClock): Decode =>
  raw => {
    if (isFields(raw)) return draftOfVariables(raw, wallClock)
    if (typeof raw !== 'string') return SKIP
    if (!raw.startsWith('{')) return decodeLine(raw, wallClock)
    const variables = escapedJsonFields(raw)
    return variables === null ? refusal('unreadable', 'This is not JSON.') : draftOfVariables(variables, wallClock)
  }

const CLIENT = String.raw`(\S+):\d+ \[([^\]]{24})\] (\S+) ([^\s/]+)\/\S+`
/** `TR/Tw/Tc/Tr/Ta`; TCP logs have three timers, failed handshakes none. */
const TIMERS = String.raw`-?\d+\/-?\d+\/(-?\d+)\/(-?\d+)\/\+?(-?\d+)`
const beginsAsHttp = new RegExp(`^${CLIENT} ${TIMERS} `)
/** The last column is cut off with the message, whose length is 1024 characters unless told otherwise. */
const httpLine = new RegExp(String.raw`^${CLIENT} ${TIMERS} (-?\d+) \+?(\d+) \S+ \S+ (\S{4}) \S+ \S+ [^"]*"([^"]*)`)
/** HAProxy's own client: Lua and the auth that asks us. */
const OWN_CLIENT = '<HTTPCLIENT>'

function decodeLine(line: string, wallClock: WallClock): Decoded {
  const match = httpLine.exec(line)
  if (match === null) {
    return beginsAsHttp.test(line) ? refusal('unreadable', 'The line of `option httplog` is cut off or broken.') : SKIP
  }
  const [, ci, tr, ft, b, Tc, Tr, Ta, ST, B, tsc, request] = match
  return draftOfVariables({ ci, tr, ft, b, Tc, Tr, Ta, ST, B, tsc, request }, wallClock)
}

function draftOfVariables(variables: Fields, wallClock: WallClock): Decoded {
  const { ft, b: backend, tsc } = variables
  if (ft === OWN_CLIENT) return SKIP
  const draft = emptyDraft()
  const status = countOf(variables.ST)
  const upstreamLatencyMs = upstreamLatencyMsOf(variables)
  // Frontends with TLS have a mark behind their name.
  const frontend = textOf(ft)?.replace(/~$/, '') ?? null
  draft.requestId = textOf(variables.ID)
  draft.startedAtMs = startedAtMsOf(variables, wallClock)
  putRequest(draft, variables)
  // Without a backend its name is the frontend's.
  draft.service = backend === frontend ? null : textOf(backend)
  draft.status = status
  draft.outcome = outcomeOfState(tsc, { status, isFromUpstream: upstreamLatencyMs !== null })
  draft.latencyMs = durationOf(variables.Ta, 1)
  draft.upstreamLatencyMs = upstreamLatencyMs
  draft.requestBytes = countOf(variables.U)
  draft.responseBytes = countOf(variables.B)
  const answer = headerReader(variables)
  if (upstreamLatencyMs !== null) putUpstreamLimits(draft, answer)
  putDenial(draft, answer)
  draft.clientIp = textOf(variables.ci)
  draft.labels = presentLabels({ frontend, error: errorOf(tsc) })
  putOwnFields(draft, variables)
  return draft
}

const CLF_WALL_CLOCK_CHARACTERS = 'dd/Mon/yyyy:hh:mm:ss.'.length

/** `trg` has the zone, `tr` the milliseconds. */
function startedAtMsOf({ tr, trg }: Fields, wallClock: WallClock): number | null {
  const local = typeof tr === 'string' ? tr : ''
  const wallClockMs = clfWallClock(local)
  const milliseconds = wallClockMs === null ? 0 : Number(local.slice(CLF_WALL_CLOCK_CHARACTERS)) || 0
  const secondMs = typeof trg === 'string' ? clfInstant(trg) : null
  if (secondMs !== null) return secondMs + milliseconds
  return wallClockMs === null ? null : wallClock(wallClockMs) + milliseconds
}

/** To connect and to see the headers of the answer; -1 in what was never reached. */
function upstreamLatencyMsOf({ Tc, Tr }: Fields): number | null {
  const [connectMs, answerMs] = [durationOf(Tc, 1), durationOf(Tr, 1)]
  return connectMs === null || answerMs === null ? null : connectMs + answerMs
}

/** What is not printable is `#` and two hexadecimal digits. */
const encodedBytes = /#([0-9A-F]{2})/g
const percentEncoded = (text: string | null) => text?.replaceAll(encodedBytes, '%$1') ?? null

function putRequest(draft: Draft, variables: Fields): void {
  const { HM: method, host, request } = variables
  draft.method = method === '<BADREQ>' ? null : textOf(method)
  draft.host = hostOf(host)
  const target = percentEncoded(firstText(variables.path, variables.HU, variables.HP, variables.HPO))
  if (target !== null && target !== '<BADREQ>') putTarget(draft, target)
  const line = percentEncoded(textOf(request))
  if (line !== null) putRequestLine(draft, line)
}

/** Section 8.5: the first character says who ended the session, `C` the client before its time. */
function outcomeOfState(state: unknown, ending: Ending): Outcome | null {
  const cause = typeof state === 'string' ? state.charAt(0) : ''
  if (cause === 'C') return 'aborted'
  if (ending.status !== null || cause === '') return outcomeOf(ending)
  return cause === 'c' ? 'aborted' : 'server_error'
}

/** Who ended the session early, and when in it; the rest is about cookies. */
function errorOf(state: unknown): string | null {
  const error = typeof state === 'string' ? state.slice(0, 2) : ''
  return error === '' || error === '--' ? null : error
}
