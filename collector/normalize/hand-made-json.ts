/**
 * Lines that a gateway makes from a template in the shape of JSON, with quotes around every value and no escapes: a quote in
 * a client's user agent, and it is JSON no more. Such lines are read all the same.
 */
import { type Fields, isFields } from './fields.ts'
import { hasTooManyNames } from './json-names.ts'

const NAME = /[{,]\s*"([\w.:-]{1,64})"\s*:\s*/g

/**
 * The values of a line by name, as an object that was JSON or as text that was meant to be; `null` for anything else. A
 * value ends where the next name begins; of a name that comes twice, as a client may have it, the first holds.
 */
export function handMadeFields(raw: unknown): Fields | null {
  if (isFields(raw)) return raw
  if (typeof raw !== 'string' || !raw.startsWith('{') || hasTooManyNames(raw)) return null
  const text = raw.trimEnd()
  const end = text.endsWith('}') ? text.length - 1 : text.length
  const fields: Record<string, unknown> = Object.create(null)
  let name: string | null = null
  let begin = 0
  const put = (valueEnd: number) => {
    const value = name === null ? null : valueOfText(text.slice(begin, valueEnd).trimEnd())
    if (name !== null && value !== null) fields[name] ??= value
  }
  for (const match of text.matchAll(NAME)) {
    put(match.index)
    name = match[1] ?? null
    begin = match.index + match[0].length
  }
  put(end)
  return name === null ? null : fields
}

/** Without its quotes; `null` for one that was cut off. */
function valueOfText(text: string): string | null {
  if (!text.startsWith('"')) return text
  return text.length > 1 && text.endsWith('"') ? text.slice(1, -1) : null
}
