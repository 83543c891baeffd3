/** What a syslog daemon puts before a gateway's own line when it writes it into a file, or forwards it. */

const TAG = String.raw`[\w./@-]{1,128}(?:\[\d{1,10}\])?:\s`
const PREFIXES = [
  // RFC 3164, with or without its priority: `<190>Nov 20 20:19:05 host gw: …`.
  String.raw`(?:<\d{1,3}>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:[\w.:-]{1,255} )?${TAG}`,
  // The same with an ISO time, as rsyslog writes files: `2026-11-20T20:19:05.123456+00:00 host gw: …`.
  String.raw`(?:<\d{1,3}>)?\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d) [\w.:-]{1,255} ${TAG}`,
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
