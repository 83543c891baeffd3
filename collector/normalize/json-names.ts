/**
 * How many different names a JSON document has. Each one that is new costs the parser far more than its bytes: 8 MiB of them
 * hold up everybody for seconds, where 8 MiB of the same few dozen take 60 ms.
 */

/** A shorter text cannot hold so many that anybody would notice. */
const SHORT_CHARACTERS = 2 ** 20
export const NAMES_MAX = 50_000

const QUOTE = '"'
const BACKSLASH = 92
const COLON = 58
const SPACES: readonly number[] = [32, 9, 10, 13]

/** True for a text that should not be parsed. A third of the time that parsing takes where there are few. */
export function hasTooManyNames(text: string): boolean {
  if (text.length <= SHORT_CHARACTERS) return false
  const names = new Set<string>()
  let begin = text.indexOf(QUOTE)
  while (begin >= 0) {
    const end = textEnd(text, begin)
    if (end < 0) return false
    let next = end + 1
    while (SPACES.includes(text.charCodeAt(next))) next++
    if (text.charCodeAt(next) === COLON && names.add(text.slice(begin + 1, end)).size > NAMES_MAX) return true
    begin = text.indexOf(QUOTE, next)
  }
  return false
}

/** Where the quote is that ends the text which begins at `begin`; -1 when there is none. */
export function textEnd(text: string, begin: number): number {
  let end = text.indexOf(QUOTE, begin + 1)
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf(QUOTE, end + 1)
  return end
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0
  while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++
  return slashes % 2 === 1
}
