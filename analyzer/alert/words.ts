/** Alerts in words, for people. Pure. Names come from callers: what a channel must not take literally it escapes itself. */
import type { Alert } from './alert.ts'
import type { Message } from './channel.ts'

const MICROS = 1_000_000
const NAME_CHARACTERS_MAX = 80

type Told = Omit<Alert, 'told' | 'toldBefore' | 'untold'>

/** One line for all of a message. */
export function headline({ notices }: Message): string {
  const [first, ...more] = notices
  if (first === undefined) return 'Test: alerts of Quotacast arrive here'
  return more.length === 0 ? title(first) : `${title(first)}, and ${more.length} more`
}

/** What has happened, in one line. */
export function title(alert: Told): string {
  const { rule, quota, level, limit, endedAtMs } = alert
  const who = whoOf(alert)
  const hasEnded = endedAtMs !== null
  if (hasEnded && alert.isDropped) return `${quota} is not watched for ${who} any more`
  if (hasEnded && limit === 0) return `${who} is allowed none of ${quota} now`
  if (rule === 'exhaustion')
    return hasEnded
      ? `${who} will probably not run out of ${quota} any more`
      : `${who} will probably run out of ${quota}`
  if (level === 1) return hasEnded ? `${who} has some of ${quota} left again` : `${who} has run out of ${quota}`
  return hasEnded
    ? `${who} is below ${percent(level)} of ${quota} again`
    : `${who} has used ${percent(level)} of ${quota}`
}

/** What is known of it: use, forecast, reset. `currency` names that of costs. */
export function details(alert: Told, currency: string): string {
  const { unit, used, limit, probability, exhaustionAtMs, windowEndMs, confidence, why } = alert
  const units = unit === 'cost' ? currency : unit
  const of = limit === null ? '' : ` of ${amount(limit, unit)}`
  const isOut = alert.rule === 'used' && alert.level === 1 && alert.endedAtMs === null
  return [
    `Used ${amount(used, unit)}${of} ${units}.`,
    probability === null || isOut || limit === 0 ? '' : likelihood(probability, exhaustionAtMs),
    `The window ends at ${instant(windowEndMs)}.`,
    confidence === 'normal' || probability === null ? '' : 'Little is known:',
    why,
  ]
    .filter(Boolean)
    .join(' ')
}

function likelihood(probability: number, { p10, p50, p90 }: Told['exhaustionAtMs']): string {
  const chance = `The limit is reached before that with ${percent(probability)}`
  if (p50 === null) return `${chance}.`
  const between = p10 === null || p90 === null ? '' : ` (between ${instant(p10)} and ${instant(p90)})`
  return `${chance}, as likely as not by ${instant(p50)}${between}.`
}

function whoOf({ subject }: Told): string {
  const values = Object.values(subject).map(value => (value === '' ? 'unknown' : toLine(value)))
  return values.length === 0 ? 'Everybody together' : values.join(' / ')
}

/** A name that cannot break out of its line, nor turn what stands beside it around. */
const toLine = (name: string): string =>
  [...name]
    .slice(0, NAME_CHARACTERS_MAX)
    .join('')
    .replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '\ufffd')

const percent = (share: number): string => `${Math.floor(share * 1000) / 10} %`
const instant = (atMs: number): string => `${new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`
const amount = (units: number, unit: string): string =>
  (unit === 'cost' ? units / MICROS : Math.round(units)).toLocaleString('en-US', {
    // Of less than one of the currency two digits may say nothing.
    maximumFractionDigits: units < MICROS ? 4 : 2,
  })
