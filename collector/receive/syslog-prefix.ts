/** What a syslog daemon, or the runtime of a container, puts before a gateway's own line when it writes or forwards it. */

const PRIORITY = String.raw`<\d{1,3}>`
const HOST = String.raw`[\w.:-]{1,255}`
// Some senders leave the tag out; then only JSON can be told from it.
const TAG = String.raw`(?:[\w./@-]{1,128}(?:\[\d{1,10}\])?:\s(?:@cee: ?)?|(?=\{))`
const PARAMETER = String.raw`[^\s="\]]{1,32}="(?:[^"\\]|\\[^])*"`
const PREFIXES = [
  // RFC 5424: `<190>1 2026-11-20T20:19:05.123456Z host gw 42 - - …`, its structured data left out.
  String.raw`${PRIORITY}[1-9]\d{0,2} (?:\S{1,64} ){5}(?:-|(?:\[[^\s="\]]{1,32}(?: ${PARAMETER})*\])+)(?: \uFEFF?|$)`,
  // RFC 3164, with or without its priority: `<190>Nov 20 20:19:05 host gw: …`.
  String.raw`(?:${PRIORITY})?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:${HOST} )?${TAG}`,
  // The same with an ISO time, as rsyslog writes files: `2026-11-20T20:19:05.123456+00:00 host gw: …`.
  String.raw`(?:${PRIORITY})?\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d) ${HOST} ${TAG}`,
  // The files of a container runtime (CRI): `2026-11-20T20:19:05.123456789Z stdout F …`.
  String.raw`\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d) std(?:out|err) F `,
  // Nothing but a priority.
  PRIORITY,
]
const prefix = new RegExp(`^(?:${PREFIXES.join('|')})`)

/** The gateway's line. A line that has no such prefix is itself. */
export function withoutSyslogPrefix(line: string): string {
  const first = line.charCodeAt(0)
  // No other character begins a prefix; most lines are told by it alone.
  const mayBegin = first === 60 || (first >= 65 && first <= 90) || (first >= 48 && first <= 57)
  if (!mayBegin) return line
  const match = prefix.exec(line)
  return match === null ? line : line.slice(match[0].length)
}
