/** JSON as senders write it, with nothing lost of integers that a double cannot hold. */
import { exactInteger } from '../normalize/exact-integer.ts'
import { hasTooManyNames, NAMES_MAX } from '../normalize/json-names.ts'

/** A number that may be too large: it stands where a value may, and not within text. */
const LONG_INTEGER = /[:[,]\s*-?\d{16}/

const TOO_MANY_NAMES = `One JSON document has more than ${NAMES_MAX} different names: put what varies into values.`

/**
 * Integers beyond 2^53 come as the text that they are. The parser's own message would show what stands there, so it is
 * not passed on.
 */
export function parseJson(text: string): { kind: 'value'; value: unknown } | { kind: 'unreadable'; message: string } {
  if (hasTooManyNames(text)) return { kind: 'unreadable', message: TOO_MANY_NAMES }
  try {
    return { kind: 'value', value: LONG_INTEGER.test(text) ? JSON.parse(text, keepInteger) : JSON.parse(text) }
  } catch {
    return { kind: 'unreadable', message: 'This is not JSON.' }
  }
}

const keepInteger = (_name: string, value: unknown, context?: { source?: string }) => exactInteger(value, context)
