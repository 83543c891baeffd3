/** Integers of JSON that a double cannot hold. */

/** The digits of such an integer as text, any other value as it is; for a reviver, whose context has the source. */
export function exactInteger(value: unknown, context: { source?: string } | undefined): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const source = context?.source ?? ''
  return /^-?\d+$/.test(source) ? source : value
}
