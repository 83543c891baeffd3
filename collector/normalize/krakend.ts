/**
 * The access log of KrakenD's community edition, which is gin's: written when the call has ended, to the second, in the
 * local time of the machine. https://github.com/gin-gonic/gin logger.go
 */
import { unescaped } from './access-line.ts'
import { type Decode, type Dialect, emptyDraft, refusal, SKIP } from './draft.ts'
import { goDurationMs, numberOf, textOf } from './fields.ts'
import { type WallClock, wallClockOf } from './local-time.ts'
import { putTarget } from './request-line.ts'
import { parseIso } from './time.ts'

export const krakend: Dialect = {
  name: 'krakend',
  framing: { kind: 'text' },
  definition: 'krakend',
  hasUnnamedSecrets: false,
  open: ({ timezone }) => createDecode(wallClockOf(timezone)),
}

const PREFIX = '[GIN] '
const LINE =
  /^\[GIN\] (\d{4})\/(\d\d)\/(\d\d) - (\d\d:\d\d:\d\d) \| *(\d{1,3}) *\| *([\w.µμ]+) *\| *([\w.:%-]*) *\| *([\w-]+) +["`](.*)["`]$/
/** gin colours what it believes to be a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what begins a colour.
const COLOURS = /\u001b\[[\d;]*m/g

function createDecode(wallClock: WallClock): Decode {
  return raw => {
    const text = typeof raw === 'string' ? raw.replaceAll(COLOURS, '') : ''
    // KrakenD's own messages go to the same output, and gin's errors follow the line of their call.
    if (!text.startsWith(PREFIX)) return SKIP
    const [, year, month, day, time, status, latency, address, method, path = ''] = LINE.exec(text) ?? []
    const wallClockMs = parseIso(`${year}-${month}-${day}T${time}`)
    if (wallClockMs === null) return refusal('unreadable', "This is no line of gin's access log.")
    const draft = emptyDraft()
    draft.endedAtMs = wallClock(wallClockMs)
    draft.method = method
    putTarget(draft, unescaped(path))
    draft.status = numberOf(status)
    draft.latencyMs = goDurationMs(latency)
    draft.clientIp = textOf(address)
    return draft
  }
}
