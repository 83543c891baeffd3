/**
 * Parameters of a query, however long their lists are. ClickHouse takes 128 KiB in one parameter and 1 MiB in an address;
 * a quota may match thousands of values, and be reset by hand for as many subjects.
 */
import type { QueryParams } from './selection.ts'

/** Of one parameter: in UTF-8, and escaped, it is less than that limit. */
const PIECE_CHARACTERS_MAX = 16 * 1024
const LIST_PARAM = /\{(\w+):(Array\([^{}]*\))\}/g

/** Lists that are too long come as several parameters, and all parameters in the body where they are long together. */
export function withLongParams(query: string, params: QueryParams) {
  const given = new Map(Object.entries(params))
  let isLong = false
  const whole = query.replaceAll(LIST_PARAM, (text, name: string, type: string) => {
    const pieces = piecesOf(params[name])
    if (pieces.length < 2) return text
    isLong = true
    given.delete(name)
    const each = pieces.map((piece, index) => {
      given.set(`${name}_piece${index}`, piece as string[])
      return `{${name}_piece${index}:${type}}`
    })
    return `arrayConcat(${each.join(', ')})`
  })
  return {
    query: whole,
    query_params: Object.fromEntries(given),
    use_multipart_params: isLong || charactersOf([...given.values()]) > PIECE_CHARACTERS_MAX,
  }
}

function piecesOf(value: QueryParams[string] | undefined): unknown[][] {
  if (!Array.isArray(value)) return []
  const pieces: unknown[][] = []
  let characters = Number.POSITIVE_INFINITY
  for (const element of value) {
    const own = charactersOf(element)
    if (characters + own > PIECE_CHARACTERS_MAX) {
      pieces.push([])
      characters = 0
    }
    pieces.at(-1)?.push(element)
    characters += own
  }
  return pieces
}

/** With quotes and commas, about. */
function charactersOf(value: unknown): number {
  if (Array.isArray(value)) return value.reduce<number>((sum, element) => sum + charactersOf(element), 2)
  return String(value).length + 3
}
