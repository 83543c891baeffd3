/**
 * Values as gateways write them: numbers as text, `-` for nothing, lists with one item for each upstream that was tried.
 * Each reader answers `null` for what is not there; what is there and makes no sense passes as it is found, for the check
 * of the whole record to name.
 */

export type Fields = Readonly<Record<string, unknown>>

const NOTHING: Fields = {}
/** What stands where there is no value. */
const isNothing = (text: string) =>
  text === '' || text === '-' || text === 'nil' || text === 'null' || text === '(null)'

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The object at a name; an empty one where there is none. */
export function fieldsAt(fields: Fields, name: string): Fields {
  const value = fields[name]
  return isFields(value) ? value : NOTHING
}

/** A name, an id, a path. Numbers are text too. */
export function textOf(value: unknown): string | null {
  if (typeof value === 'string') return isNothing(value) ? null : value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null
}

/** The first of the values that is text. */
export function firstText(...values: readonly unknown[]): string | null {
  for (const value of values) {
    const text = textOf(value)
    if (text !== null) return text
  }
  return null
}

const DECIMAL = /^\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?\s*$/i

/** A number, or the text of one. */
export function numberOf(value: unknown): number | null {
  if (typeof value === 'number') return value
  if (typeof value !== 'string' || !DECIMAL.test(value)) return null
  return Number(value)
}

/** How many; gateways write -1 where they do not know. */
export function countOf(value: unknown): number | null {
  const number = numberOf(value)
  return number === null || number < 0 ? null : number
}

/** A count that means nothing when it is 0. */
export const positiveOf = (value: unknown): number | null => countOf(value) || null

/** Millionths of an amount of money. */
export function microsOf(value: unknown): number | null {
  const amount = countOf(value)
  return amount === null ? null : Math.round(amount * 1e6)
}

/** Milliseconds of a duration in units of `unitMs`, free of the noise of the multiplication; negative is unknown. */
export function durationOf(value: unknown, unitMs: number): number | null {
  const number = countOf(value)
  return number === null ? null : Math.round(number * unitMs * 1e6) / 1e6
}

/** Unix milliseconds of an instant in units of `unitMs`, with fractions cut off. */
export function instantOf(value: unknown, unitMs: number): number | null {
  const number = numberOf(value)
  // A millionth of a millisecond more, as 1784620800.123 seconds are a little less than that in a double.
  return number === null ? null : Math.floor(number * unitMs + 1e-3)
}

const NANOS_DIGITS = 6

/** Unix milliseconds of nanoseconds, which are text where a double cannot hold them. */
export function instantOfNanos(value: unknown): number | null {
  if (typeof value === 'number') return Math.floor(value / 1e6 + 1e-3)
  if (typeof value !== 'string' || !/^\d{1,20}$/.test(value)) return null
  return Number(value.slice(0, -NANOS_DIGITS) || 0)
}

/** White space around items is none of it: numbers are read with theirs, and to look for it takes time. */
const LIST = /[,:;]/

/** The last number of a list such as `502, 200`: that of the upstream that answered. */
export function lastOf(value: unknown): number | null {
  if (typeof value !== 'string' || !LIST.test(value)) return numberOf(value)
  return numberOf(value.split(LIST).at(-1))
}

/** The sum of a list such as `0.010, - : 0.030`; `null` when it holds no number. */
export function sumOf(value: unknown): number | null {
  if (typeof value !== 'string' || !LIST.test(value)) return numberOf(value)
  let sum: number | null = null
  for (const item of value.split(LIST)) {
    const number = numberOf(item)
    if (number !== null) sum = (sum ?? 0) + number
  }
  return sum
}

const GO_UNITS_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ns: 1e-6,
}
const GO_DURATION = /^(?:\d+(?:\.\d+)?(?:ms|us|µs|μs|ns|h|m|s))+$/
const GO_PART = /(\d+(?:\.\d+)?)(ms|us|µs|μs|ns|h|m|s)/g

/** Milliseconds of a duration as Go prints it: `747.12ms`, `1m2.5s`. */
export function goDurationMs(value: unknown): number | null {
  if (typeof value !== 'string' || !GO_DURATION.test(value)) return null
  let sumMs = 0
  for (const [, number, unit = ''] of value.matchAll(GO_PART)) sumMs += Number(number) * (GO_UNITS_MS[unit] ?? 0)
  return Math.round(sumMs * 1e6) / 1e6
}

/** `203.0.113.9:52114` and `[2001:db8::1]:443` without the port. */
export function withoutPort(address: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(address)
  if (bracketed !== null) return bracketed[1] ?? address
  const colon = address.indexOf(':')
  return colon >= 0 && colon === address.lastIndexOf(':') ? address.slice(0, colon) : address
}
