/** Numbers and instants in Grafana's units, as far as our boards use them. */
import type { FieldConfig } from './board-json.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

type Scale = readonly (readonly [from: number, divisor: number, suffix: string])[]
const COUNTS: Scale = [
  [1e9, 1e9, ' Bil'],
  [1e6, 1e6, ' Mil'],
  [1e3, 1e3, ' K'],
  [0, 1, ''],
]
const MILLISECONDS: Scale = [
  [DAY_MS, DAY_MS, ' days'],
  [HOUR_MS, HOUR_MS, ' hours'],
  [MINUTE_MS, MINUTE_MS, ' mins'],
  [SECOND_MS, SECOND_MS, ' s'],
  [1, 1, ' ms'],
  [0, 0.001, ' µs'],
]
/** Rates are counts with what they count. */
const RATES: Record<string, string> = { cps: ' c/s', reqps: ' req/s', wps: ' wr/s' }

/** A value as its field's unit has it. */
export function formatValue(value: number, { unit = '', decimals }: FieldConfig, nowMs: number): string {
  switch (unit) {
    case 'dateTimeFromNow':
      return fromNow(value - nowMs)
    case 'percentunit':
      return `${rounded(100 * value, decimals)}%`
    case 'ms':
      return scaled(value, MILLISECONDS, decimals)
    case 's':
      return scaled(value * SECOND_MS, MILLISECONDS, decimals)
    case 'short':
      return scaled(value, COUNTS, decimals)
    default:
      return unit in RATES ? `${scaled(value, COUNTS, decimals)}${RATES[unit]}` : rounded(value, decimals)
  }
}

export const formatInstant = (atMs: number): string => new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')

function scaled(value: number, scale: Scale, decimals: number | undefined): string {
  if (value === 0) return '0'
  const [, divisor, suffix] = scale.find(([from]) => Math.abs(value) >= from) ?? [0, 1, '']
  return `${rounded(value / divisor, decimals)}${suffix}`
}

/** Three digits that say something, where nobody says how many. */
function rounded(value: number, decimals: number | undefined): string {
  const wanted = Number.isInteger(value) ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toFixed(Math.min(6, decimals ?? wanted))
}

const SPANS: readonly (readonly [ms: number, name: string])[] = [
  [DAY_MS, 'day'],
  [HOUR_MS, 'hour'],
  [MINUTE_MS, 'minute'],
]

function fromNow(ms: number): string {
  const [span, name] = SPANS.find(([each]) => Math.abs(ms) >= each * 0.9) ?? [SECOND_MS, 'second']
  const count = Math.round(Math.abs(ms) / span)
  const words =
    name === 'second' ? 'a few seconds' : count === 1 ? `${name === 'hour' ? 'an' : 'a'} ${name}` : `${count} ${name}s`
  return ms < 0 ? `${words} ago` : `in ${words}`
}
