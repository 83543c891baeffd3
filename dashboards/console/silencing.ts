/** A silence as it is wished for: of what, until when. */
import type { AlertsAnswer } from '../../analyzer/api/alerts.ts'
import { formatInstant, formatSubject } from './format.ts'

export type AlertAnswer = AlertsAnswer['alerts'][number]

/** What is not told: `quota` and `subject` as in `PUT /v1/silences/{key}`. */
export interface Silence {
  quota: string | null
  subject: Record<string, string> | null
  untilMs: number
  reason?: string
}

const HOUR_MS = 3_600_000
const WHILES: Readonly<Record<string, { text: string; ms: number }>> = {
  '1h': { text: 'For an hour', ms: HOUR_MS },
  '8h': { text: 'For 8 hours', ms: 8 * HOUR_MS },
  '1d': { text: 'For a day', ms: 24 * HOUR_MS },
  '7d': { text: 'For a week', ms: 168 * HOUR_MS },
}

type Choices = { value: string; text: string }[]

/** From the one subject to everything. */
export const scopesOf = ({ quota, subject }: AlertAnswer): Choices => [
  { value: 'subject', text: `${formatSubject(subject)}, ${quota}` },
  { value: 'quota', text: `All of ${quota}` },
  { value: 'all', text: 'All alerts' },
]

export const endsOf = ({ windowEndMs }: AlertAnswer, nowMs: number): Choices => [
  ...Object.entries(WHILES).map(([value, { text }]) => ({ value, text })),
  ...(windowEndMs > nowMs ? [{ value: 'reset', text: `Until the reset, ${formatInstant(windowEndMs, nowMs)}` }] : []),
  { value: 'at', text: 'Until another time …' },
]

export interface SilenceWish {
  scope: string
  /** One of `endsOf`. */
  end: string
  /** Of the end `at`: a local time as a browser's field has it. */
  at: string
  reason: string
}

/** The silence that is wished for; `null` where its end is none that is still to come. */
export function silenceOf(
  { quota, subject, windowEndMs }: AlertAnswer,
  { scope, end, at, reason }: SilenceWish,
  nowMs: number,
): Silence | null {
  const untilMs = end === 'reset' ? windowEndMs : end === 'at' ? Date.parse(at) : nowMs + (WHILES[end]?.ms ?? 0)
  if (!(untilMs > nowMs)) return null
  return {
    quota: scope === 'all' ? null : quota,
    subject: scope === 'subject' ? subject : null,
    untilMs: Math.round(untilMs),
    reason,
  }
}
