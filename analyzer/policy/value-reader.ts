/** Reads what is kept for long, and may have been written by an earlier version of this program, or by a later one. */
import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import Value from 'typebox/value'

/**
 * Answers the value as this version knows it: what an earlier one left out has its default, what only a later one knows is
 * passed over. `null` for what cannot be read so.
 */
export function createValueReader<Schema extends TSchema>(schema: Schema): (value: unknown) => Static<Schema> | null {
  const validator = Compile(schema)
  // It takes some tenths of a millisecond, and is asked again of what is held.
  const read = new WeakMap<object, Static<Schema> | null>()
  return value => {
    if (typeof value !== 'object' || value === null) return null
    if (validator.Check(value)) return value
    const before = read.get(value)
    if (before !== undefined) return before
    const known: unknown = Value.Clean(schema, Value.Default(schema, structuredClone(value)))
    const made = validator.Check(known) ? known : null
    read.set(value, made)
    return made
  }
}
