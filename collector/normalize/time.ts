/** Instants as gateways write them, to Unix milliseconds (fractions are cut off, so that equal texts are equal instants). */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const HALF_DAY_HOURS = 12

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?(Z|UTC|[+-]\d\d(?::?\d\d)?))?)?$/i

/** Milliseconds, or `null` for what is no instant. */
export type ParseInstant = (text: string) => number | null

/** ISO 8601 with `T` or a space, up to nine fractional digits, UTC where it names no zone. */
export const parseIso: ParseInstant = text => {
  const match = ISO.exec(text)
  if (match === null) return null
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = match
  return instantOf({
    year: Number(year),
    month: Number(month),
    day: Number(day),
    hour: Number(hour),
    minute: Number(minute),
    second: Number(second),
    millisecond: millisecondsOf(fraction),
    isAfternoon: false,
    offsetMinutes: offsetMinutesOf(zone),
  })
}

/** The instant that ISO text stands for; what is none stays as it is, for the check of the whole record to name. */
export const instantOfIso = (value: unknown): unknown =>
  typeof value === 'string' ? (parseIso(value) ?? (value === '-' ? null : value)) : (value ?? null)

interface Clock {
  year: number
  month: number
  day: number
  hour: number
  minute: number
  second: number
  millisecond: number
  /** For clocks of twelve hours. */
  isAfternoon: boolean
  offsetMinutes: number
}

const millisecondsOf = (fraction: string) => Number(fraction.slice(0, 3).padEnd(3, '0'))

function offsetMinutesOf(zone: string): number {
  const match = /^([+-])(\d\d):?(\d\d)?$/.exec(zone)
  if (match === null) return 0
  const [, sign, hours, minutes = '0'] = match
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
}

function instantOf(clock: Clock): number | null {
  const { year, month, day, minute, second } = clock
  const hour = clock.hour + (clock.isAfternoon ? HALF_DAY_HOURS : 0)
  // A leap second is the first of the next minute.
  if (hour > 23 || minute > 59 || second > 60) return null
  const midnightMs = Date.UTC(year, month - 1, day)
  const date = new Date(midnightMs)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null
  return midnightMs + ((hour * 60 + minute - clock.offsetMinutes) * 60 + second) * 1000 + clock.millisecond
}

/** What a directive of a pattern reads; the names are strftime's. */
const DIRECTIVES: Record<string, { source: string; read: (text: string) => Partial<Clock> }> = {
  Y: { source: String.raw`\d{4}`, read: text => ({ year: Number(text) }) },
  m: { source: String.raw`\d{1,2}`, read: text => ({ month: Number(text) }) },
  d: { source: String.raw` ?\d{1,2}`, read: text => ({ day: Number(text) }) },
  b: { source: '[A-Za-z]{3}', read: text => ({ month: MONTHS.indexOf(text.toLowerCase()) + 1 }) },
  H: { source: String.raw`\d{1,2}`, read: text => ({ hour: Number(text) }) },
  I: { source: String.raw`\d{1,2}`, read: text => ({ hour: Number(text) % HALF_DAY_HOURS }) },
  M: { source: String.raw`\d{2}`, read: text => ({ minute: Number(text) }) },
  S: { source: String.raw`\d{2}`, read: text => ({ second: Number(text) }) },
  f: { source: String.raw`\d{1,9}`, read: text => ({ millisecond: millisecondsOf(text) }) },
  p: { source: '[AaPp][Mm]', read: text => ({ isAfternoon: text.toLowerCase() === 'pm' }) },
  z: { source: String.raw`Z|[+-]\d\d:?\d\d`, read: text => ({ offsetMinutes: offsetMinutesOf(text) }) },
  Z: { source: 'UTC|GMT|Z', read: () => ({}) },
}
/** A pattern needs one of each; the zone because a local time alone is two instants once a year. */
const NEEDED: readonly (readonly string[])[] = [['Y'], ['m', 'b'], ['d'], ['H', 'I'], ['M'], ['z', 'Z']]

const EPOCH: Clock = {
  year: 0,
  month: 0,
  day: 0,
  hour: 0,
  minute: 0,
  second: 0,
  millisecond: 0,
  isAfternoon: false,
  offsetMinutes: 0,
}

/**
 * The parser of a strftime pattern, such as `%d/%b/%Y:%H:%M:%S %z`. Answers text instead when the pattern makes no sense;
 * it must hold a zone: `%z`, or `%Z` for UTC and GMT.
 */
export function patternParser(pattern: string): ParseInstant | string {
  const letters = Array.from(pattern.matchAll(/%(.?)/g), ([, letter = '']) => letter).filter(letter => letter !== '%')
  const unknown = letters.find(letter => DIRECTIVES[letter] === undefined)
  if (unknown !== undefined) return `%${unknown} is none of %${Object.keys(DIRECTIVES).join(' %')}`
  const missing = NEEDED.find(choices => !choices.some(letter => letters.includes(letter)))
  if (missing !== undefined) return `the pattern holds no %${missing.join(' or %')}`
  const source = pattern.replace(/%(.)|[^%]+/g, (text, letter: string | undefined) => {
    if (letter === undefined) return text.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`)
    return letter === '%' ? '%' : `(${DIRECTIVES[letter]?.source})`
  })
  const expression = new RegExp(`^${source}$`)
  return text => {
    const match = expression.exec(text)
    if (match === null) return null
    const parts = letters.map((letter, index) => DIRECTIVES[letter]?.read(match[index + 1] ?? ''))
    return instantOf(Object.assign({ ...EPOCH }, ...parts))
  }
}
