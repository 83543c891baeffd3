/** How many rejections there are of each source and reason, with the newest of each as an example. */
import Type, { type Static } from 'typebox'
import type { Store } from './open.ts'
import { type RejectionFilter, rejectionConditions } from './rejections.ts'

const COUNTS_MAX = 1000
/** What an example shows of its input. */
const EXAMPLE_CHARACTERS_MAX = 2000

export const RejectionCount = Type.Object({
  source: Type.String(),
  reason: Type.String(),
  count: Type.Integer(),
  replayable: Type.Integer({ description: 'How many of them a replay can decode again: their inputs are whole.' }),
  lastAtMs: Type.Integer({ description: 'When the newest arrived.' }),
  example: Type.Object(
    {
      message: Type.String(),
      input: Type.String({ description: `At most ${EXAMPLE_CHARACTERS_MAX} characters.` }),
    },
    { description: 'The newest.' },
  ),
})
export type RejectionCount = Static<typeof RejectionCount>

interface Row extends Omit<RejectionCount, 'example'> {
  message: string
  input: string
}

/** Most frequent first. Throws what the store's client throws when the store is away. */
export async function readRejectionCounts(store: Store, filter: RejectionFilter): Promise<RejectionCount[]> {
  const result = await store.client.query({
    query: `SELECT source, reason, count() AS count, countIf(is_whole) AS replayable,
        toUnixTimestamp64Milli(max(arrived_at)) AS lastAtMs, argMax(message, arrived_at) AS message,
        argMax(substringUTF8(input, 1, ${EXAMPLE_CHARACTERS_MAX}), arrived_at) AS input
      FROM rejections
      WHERE ${rejectionConditions(filter).join(' AND ')}
      GROUP BY source, reason
      ORDER BY count DESC, source, reason
      LIMIT ${COUNTS_MAX}`,
    query_params: { tenant: filter.tenant, source: filter.source, reason: filter.reason },
    format: 'JSONEachRow',
  })
  return (await result.json<Row>()).map(({ message, input, ...count }) => ({ ...count, example: { message, input } }))
}
