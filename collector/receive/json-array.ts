/**
 * The items of a JSON array as text, so that each can be parsed when its turn comes: never more than one call is held as
 * an object, and one that is no JSON spoils no other.
 */
import { textEnd } from '../normalize/json-names.ts'

const QUOTE = 34
const COMMA = 44
const ARRAY_OPEN = 91
const ARRAY_CLOSE = 93
const OBJECT_OPEN = 123
const OBJECT_CLOSE = 125

/** `null` for text that is no array as a whole; one item more than `itemsMax` where there are too many. One pass. */
export function arrayItems(text: string, itemsMax: number): string[] | null {
  const open = text.search(/\S/)
  if (open < 0 || text.charCodeAt(open) !== ARRAY_OPEN) return null
  const items: string[] = []
  let depth = 1
  let begin = open + 1
  let at = begin
  for (; at < text.length && depth > 0; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      at = textEnd(text, at)
      if (at < 0) return null
    } else if (code === OBJECT_OPEN || code === ARRAY_OPEN) depth++
    else if (code === OBJECT_CLOSE || code === ARRAY_CLOSE) depth--
    else if (code === COMMA && depth === 1) {
      if (items.push(text.slice(begin, at)) > itemsMax) return items
      begin = at + 1
    }
  }
  if (depth > 0 || text.slice(at).trim() !== '') return null
  const last = text.slice(begin, at - 1)
  if (items.length > 0 || last.trim() !== '') items.push(last)
  return items
}
