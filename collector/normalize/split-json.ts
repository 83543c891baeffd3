/** JSON documents that follow each other with nothing between them but white space, as some senders put them into a body. */
import { exactInteger } from './exact-integer.ts'
import { hasTooManyNames } from './json-names.ts'

/** To find that a document is none takes ten times as long as to read one: what stands behind so many is one text. */
const BROKEN_MAX = 10_000

/** The documents, objects all of them; what is none stays text. One pass over the text. */
export function splitJson(text: string): unknown[] {
  const values: unknown[] = []
  let broken = 0
  let depth = 0
  let begin = 0
  let isInText = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (isInText) {
      if (code === BACKSLASH) at++
      else if (code === QUOTE) isInText = false
    } else if (code === QUOTE) isInText = true
    else if (code === BRACE_OPEN) depth++
    else if (code === BRACE_CLOSE && --depth <= 0) {
      const value = parsed(text.slice(begin, at + 1))
      values.push(value)
      depth = 0
      begin = at + 1
      if (typeof value === 'string' && ++broken === BROKEN_MAX) break
    }
  }
  const rest = text.slice(begin).trim()
  if (rest !== '') values.push(rest)
  return values
}

/** True for more than one document, and nothing else. */
export const areSeveral = (documents: readonly unknown[]): boolean =>
  documents.length > 1 && documents.every(document => typeof document !== 'string')

const QUOTE = 34
const BACKSLASH = 92
const BRACE_OPEN = 123
const BRACE_CLOSE = 125

function parsed(text: string): unknown {
  if (hasTooManyNames(text)) return text.trim()
  try {
    return JSON.parse(text, (_name: string, value: unknown, context?: { source?: string }) =>
      exactInteger(value, context),
    )
  } catch {
    return text.trim()
  }
}
