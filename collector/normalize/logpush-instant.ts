/** Instants in the formats that a Logpush job of Cloudflare may be given: RFC 3339, Unix seconds, Unix nanoseconds. */
import { instantOf, instantOfNanos } from './fields.ts'
import { instantOfIso } from './time.ts'

/** The nanoseconds of a day in 1973: seconds never come near. */
const NANOS_MIN = 1e17
const DIGITS = /^\d+(?:\.\d+)?$/

/** Unix milliseconds; what makes no sense passes as it is, for the check of the whole record to name. */
export function logpushInstant(value: unknown): unknown {
  if (typeof value !== 'number' && !(typeof value === 'string' && DIGITS.test(value))) return instantOfIso(value)
  return Number(value) >= NANOS_MIN ? instantOfNanos(value) : instantOf(value, 1000)
}
