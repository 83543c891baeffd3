import { unescaped } from './access-line.ts'
import type { Fields } from './fields.ts'
import { handMadeFields } from './hand-made-json.ts'

/**
 * The values of a line that has the shape of JSON, but the escapes of C: nginx writes such without `escape=json`, HAProxy
 * with the flag `+E`. `null` for what has another shape, and for what was cut off.
 */
export function escapedJsonFields(line: string): Fields | null {
  const fields = line.endsWith('}') ? handMadeFields(line) : null
  if (fields === null) return null
  const values: Record<string, unknown> = {}
  for (const name in fields) values[name] = typeof fields[name] === 'string' ? unescaped(fields[name]) : fields[name]
  return values
}
