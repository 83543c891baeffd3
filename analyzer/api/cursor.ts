/** Where a page of a list ends, as the next one is asked for: opaque to whoever asks, and good for as long as the list is. */
import Type from 'typebox'
import { RequestError } from './request-error.ts'

/** Most that a list answers at once. */
export const PAGE_MAX = 1_000
const CURSOR_CHARACTERS_MAX = 16_384

/** Where an entry stands in the order of all. */
export type Place = readonly (string | number)[]

/** What asks for a page: how much of it there is to be, and behind what. */
export const pageQuery = () => ({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: 100, description: 'Most of a page.' })),
  cursor: Type.Optional(
    Type.String({ maxLength: CURSOR_CHARACTERS_MAX, description: '`nextCursor` of the page before.' }),
  ),
})

export const NextCursor = Type.Union([Type.String(), Type.Null()], {
  description: '`cursor` of the next page; null: no more.',
})

export const toCursor = (place: Place): string => Buffer.from(JSON.stringify(place)).toString('base64url')

/** The place that `toCursor` has made of one like `example`; `null` without a cursor. Throws `RequestError` for any other text. */
export function parseCursor<P extends Place>(cursor: string | undefined, example: P): P | null {
  if (cursor === undefined) return null
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const isPlace =
      Array.isArray(place) &&
      place.length === example.length &&
      example.every((part, index) => typeof part === typeof place[index])
    if (isPlace) return place as unknown as P
  } catch {
    // Falls through to the same answer as any other text that is not a cursor.
  }
  throw new RequestError(400, 'CURSOR_INVALID', 'cursor: expected `nextCursor` of an earlier answer')
}

/** The order of places of one list: a smaller number or an earlier text comes first. */
export function comparePlaces(one: Place, other: Place): number {
  for (const [index, part] of one.entries()) {
    const against = other[index] ?? part
    if (part !== against) return part < against ? -1 : 1
  }
  return 0
}

/** The page of a list in the order of `placeOf` that begins behind a place. */
export function pageOf<T, P extends Place>(
  all: readonly T[],
  placeOf: (one: T) => P,
  { after, limit }: { after: P | null; limit: number },
): { page: T[]; nextCursor: string | null } {
  const rest = all
    .map(one => ({ one, place: placeOf(one) }))
    .filter(({ place }) => after === null || comparePlaces(place, after) > 0)
    .sort((a, b) => comparePlaces(a.place, b.place))
  const last = rest.length > limit ? rest[limit - 1] : undefined
  return { page: rest.slice(0, limit).map(({ one }) => one), nextCursor: last ? toCursor(last.place) : null }
}
