import { type Fields, textOf } from './fields.ts'

/** The labels that have a value, as text; `null` where none has. */
export function presentLabels(labels: Fields): Record<string, string> | null {
  let present: Record<string, string> | null = null
  for (const name in labels) {
    const text = textOf(labels[name])
    if (text === null) continue
    present ??= {}
    present[name] = text
  }
  return present
}
