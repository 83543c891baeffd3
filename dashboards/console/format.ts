/** Numbers and times as people read them. What is rounded here is rounded to what can be read, never to another number. */

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** From here on the last digits say nothing: 12.35M. */
const WHOLE_MAX = 10_000_000
const MICROS = 1_000_000
const UNKNOWN = '–'

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const small = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 })
const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 4 })
const money = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
const cents = new Intl.NumberFormat('en-US', {
  minimumFractionDigits: 2,
  maximumSignificantDigits: 2,
  roundingPriority: 'morePrecision',
})
const bytes = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 4 })
const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** An amount of a unit, without its name: `78,370`, `12.35M`, of bytes `1.5 MB`, of cost (millionths) `12.40`. */
export function formatAmount(amount: number | null, unit: string): string {
  // Forecasts have fractions, which no unit has; and less than half of one below nothing is nothing, not −0.
  return amount === null ? UNKNOWN : amountText(Math.round(amount) + 0, unit).replace('-', '−')
}

/** The same with its name, which bytes have already: `1 request`, `1.5 MB`. */
export const formatUnits = (amount: number, unit: string): string =>
  unit === 'bytes' ? formatAmount(amount, unit) : `${formatAmount(amount, unit)} ${formatUnit(unit, amount)}`

function amountText(amount: number, unit: string): string {
  if (unit === 'cost') return (amount !== 0 && Math.abs(amount) < MICROS ? cents : money).format(amount / MICROS)
  if (unit === 'bytes') return formatBytes(amount)
  return Math.abs(amount) < WHOLE_MAX ? whole.format(amount) : compact.format(amount)
}

function formatBytes(amount: number): string {
  const power = amount === 0 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(Math.abs(amount)) / 3))
  return `${bytes.format(amount / 1000 ** power)} ${BYTE_UNITS[power]}`
}

/** The name of a unit, or of another word of the API: `total tokens`; of one of it `total token`. */
export function formatUnit(unit: string, amount = 0): string {
  const words = unit.replaceAll('_', ' ')
  return amount === 1 ? words.replace(/s$/, '') : words
}

/** A probability, or a share of a whole, also above 100%: never 0% or 100% where it is not. */
export function formatShare(share: number | null): string {
  if (share === null || !Number.isFinite(share)) return UNKNOWN
  if (share > 0 && share < 0.005) return '<1%'
  if (share < 1 && share >= 0.995) return '>99%'
  return `${whole.format(share * 100)}%`
}

/** A number that is neither an amount nor a share: three digits. */
export const formatNumber = (value: number | null): string => (value === null ? UNKNOWN : small.format(value))

/** A factor as what is added: `+12%`. Nothing is no factor of nothing. */
export function formatGrowth(factor: number): string {
  if (Number.isNaN(factor)) return UNKNOWN
  const percent = Math.round((factor - 1) * 100)
  return `${percent > 0 ? '+' : percent < 0 ? '−' : '±'}${whole.format(Math.abs(percent))}%`
}

/** A while in its two largest units: `3 h 20 min`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.round(ms / MINUTE_MS)
  if (minutes < 60) return `${minutes} min`
  if (minutes < DAY_MS / MINUTE_MS) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'min')
  const hours = Math.round(ms / HOUR_MS)
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h')
}

const pair = (large: number, largeUnit: string, rest: number, unit: string): string =>
  rest === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${rest} ${unit}`

/** How long a call took: `640 ms`, `1.85 s`. */
export function formatLatency(ms: number | null): string {
  if (ms === null) return UNKNOWN
  return ms < 999.5 ? `${whole.format(ms)} ms` : `${small.format(ms / 1000)} s`
}

/** An instant as seen from now: `in 12 min`, `3 h ago`. */
export function formatWhen(atMs: number, nowMs: number): string {
  const left = atMs - nowMs
  if (Math.abs(left) < 1000) return 'now'
  return left > 0 ? `in ${formatDuration(left)}` : `${formatDuration(-left)} ago`
}

/** An instant in the time zone of whoever reads: the time of today, else with its day. */
export function formatInstant(atMs: number, nowMs: number): string {
  const at = new Date(atMs)
  const isToday = at.toDateString() === new Date(nowMs).toDateString()
  const time = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
  if (isToday) return at.toLocaleTimeString('en-US', time)
  const year = Math.abs(atMs - nowMs) > 300 * DAY_MS ? ({ year: 'numeric' } as const) : {}
  return at.toLocaleString('en-US', { month: 'short', day: 'numeric', ...year, ...time })
}

/** An instant on the axis of a chart that spans so long: the time of day, or the day. */
export const formatTick = (atMs: number, spanMs: number): string =>
  spanMs <= 1.5 * DAY_MS
    ? new Date(atMs).toLocaleTimeString('en-US', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
    : new Date(atMs).toLocaleDateString('en-US', { month: 'short', day: 'numeric' })

/** Control characters, and what is not seen or turns others round; emoji are joined by another one. */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu
/** Written from right to left: set apart, so that the order of what is beside them stays. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/

/** A name that others chose, so that none looks like another one, like two, or like nothing. */
export function formatName(name: string): string {
  const seen = name.replaceAll(UNSEEN, one => `⟨U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`)
  const text = seen === seen.trim() ? seen : `“${seen}”`
  return RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text
}

/** The values of a subject; all calls together have none. */
export function formatSubject(subject: Readonly<Record<string, string>>): string {
  const values = Object.entries(subject).map(([name, value]) => (value === '' ? `unknown ${name}` : formatName(value)))
  return values.length === 0 ? 'all calls' : values.join(' / ')
}

/** What went wrong, as the API words it, as a sentence. */
export const sentenceOf = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? '' : '.'}`

/** Of a list that shows so many of those that are known, and of still more where these are cut; `null` where it shows all. */
export const restWords = (shownMax: number, known: number, isCut: boolean): string | null =>
  known <= shownMax && !isCut
    ? null
    : `The first ${Math.min(shownMax, known)} of ${isCut ? 'more than ' : ''}${formatAmount(known, '')}.`
