/**
 * Apache httpd: `common`, `combined` and `vhost_combined`, each with whatever our guide adds as `name=value`. httpd has no
 * JSON, and what a LogFormat makes to look like it is none as soon as a byte is escaped.
 * https://httpd.apache.org/docs/2.4/mod/mod_log_config.html
 */
import type { Outcome } from '../call-record.ts'
import { type AccessLine, parseAccessLine } from './access-line.ts'
import { draftOfLine } from './clf.ts'
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, refusal } from './draft.ts'
import { countOf, durationOf, type Fields, instantOf, numberOf, textOf } from './fields.ts'
import { headerReader } from './headers.ts'
import { outcomeOf } from './outcome.ts'
import { putOwnFields } from './own-fields.ts'
import { hostOf } from './request-line.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

const MS_PER_MICROSECOND = 1e-3

export const apache: Dialect = {
  name: 'apache',
  framing: { kind: 'text' },
  definition: 'apache',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  const line = typeof raw === 'string' ? parseAccessLine(raw) : null
  return line === null ? refusal('unreadable', 'This is neither `common` nor `combined`.') : draftOf(line)
}

function draftOf(line: AccessLine): Draft {
  const { words, pairs } = line
  const draft = draftOfLine(line)
  draft.startedAtMs = instantOf(pairs.started_us, MS_PER_MICROSECOND) ?? line.atMs
  draft.requestId = textOf(pairs.request_id)
  draft.host ??= hostOf(pairs.host)
  draft.latencyMs = durationOf(pairs.latency_us, MS_PER_MICROSECOND)
  draft.requestBytes = countOf(pairs.request_bytes)
  // `%b` is a dash where nothing was sent.
  draft.responseBytes = countOf(pairs.response_bytes) ?? countOf(words[1] === '-' ? 0 : words[1])
  // Headers that go to the client are the upstream's only where it answered.
  const answer = headerReader(pairs)
  if (pairs.upstream_status !== '-') putUpstreamLimits(draft, answer)
  draft.outcome = outcomeOfPairs(pairs, draft.status)
  putDenial(draft, answer)
  putOwnFields(draft, pairs)
  return draft
}

function outcomeOfPairs({ connection, upstream_status: upstreamStatus }: Fields, status: unknown): Outcome | null {
  if (connection === 'X') return 'aborted'
  const answered = numberOf(upstreamStatus)
  return answered === null || typeof status !== 'number'
    ? null
    : outcomeOf({ status, isFromUpstream: answered === status })
}
