/** JSON that is a text inside of JSON: its names are in nobody's count of those of the document around it. */
import { type Fields, isFields } from './fields.ts'
import { hasTooManyNames } from './json-names.ts'

/** The object that the text is; `null` for everything else, and for one that should not be parsed. */
export function innerFields(text: string): Fields | null {
  if (hasTooManyNames(text)) return null
  try {
    const value: unknown = JSON.parse(text)
    return isFields(value) ? value : null
  } catch {
    return null
  }
}
