/** The Common Log Format and `combined`, whoever writes them: what they hold, and nothing that a program adds to them. */
import { type AccessLine, parseAccessLine } from './access-line.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import { countOf, numberOf, textOf } from './fields.ts'
import { putRequestLine } from './request-line.ts'

export const clf: Dialect = {
  name: 'clf',
  framing: { kind: 'text' },
  definition: 'clf',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  const line = typeof raw === 'string' ? parseAccessLine(raw) : null
  return line === null ? refusal('unreadable', 'This is no line of the Common Log Format.') : draftOfLine(line)
}

/** The draft of what all access lines have in common. */
export function draftOfLine(line: AccessLine): Draft {
  const draft = emptyDraft()
  draft.startedAtMs = line.atMs
  draft.clientIp = textOf(line.address)
  draft.consumer = textOf(line.user)
  draft.host = line.host
  putRequestLine(draft, line.request)
  draft.status = numberOf(line.words[0])
  draft.responseBytes = countOf(line.words[1])
  return draft
}
