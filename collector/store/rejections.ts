/** Rejections as they are read: newest first, page by page. */
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import type { Store } from './open.ts'

/** Inputs are up to 64 KiB each. */
export const REJECTIONS_PAGE_MAX = 200

/** A call that could not be normalized, as the API shows it. Unknown text is ''. */
export const StoredRejection = Type.Object({
  callId: Type.String({ description: 'The id that the call would have had, so that a replay is not another call.' }),
  arrivedAtMs: Type.Integer(),
  tenant: Type.String(),
  gateway: Type.String(),
  source: Type.String({ description: 'Name of the source that brought it.' }),
  dialect: Type.String(),
  reason: Type.String(),
  message: Type.String({ description: 'Names the field and its value.' }),
  input: Type.String({ description: 'The input, credentials replaced by their fingerprints; at most 64 KiB.' }),
  isWhole: Type.Boolean({ description: 'The input is all there but for secrets and prompts: a replay can decode it.' }),
})
export type StoredRejection = Static<typeof StoredRejection>

/** The last row of a page in the order of reading. */
const position = () => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const Cursor = Type.Tuple([position(), Type.String(), Type.String(), position()])
type Cursor = Static<typeof Cursor>
const cursorSchema = Compile(Cursor)

/** A cursor that no page has given. */
class CursorError extends Error {
  readonly statusCode = 400
  readonly code = 'CURSOR_INVALID'

  constructor() {
    super('The cursor is none of ours.')
    this.name = 'CursorError'
  }
}

/** Which rejections. Those that a replay has settled are none any more. */
export interface RejectionFilter {
  /** The only tenant to be seen, `null` for all. */
  tenant: string | null
  source: string | null
  reason: string | null
}

/** Conditions on `rejections`, with the filter itself as their parameters. */
export const rejectionConditions = ({ tenant, source, reason }: RejectionFilter): string[] => [
  "(call_id = '' OR call_id NOT IN (SELECT call_id FROM replays))",
  ...(tenant === null ? [] : ['tenant = {tenant:String}']),
  ...(source === null ? [] : ['source = {source:String}']),
  ...(reason === null ? [] : ['reason = {reason:String}']),
]

export interface RejectionsQuery extends RejectionFilter {
  /** From the page before, `null` for the first. */
  cursor: string | null
  /** At most `REJECTIONS_PAGE_MAX`. */
  limit: number
}

export interface RejectionsPage {
  rejections: StoredRejection[]
  /** `null` on the last page. */
  nextCursor: string | null
}

interface Row extends StoredRejection {
  logTopic: string
  logOffset: number
}

const SELECT_SQL = `
  SELECT call_id AS callId, toUnixTimestamp64Milli(arrived_at) AS arrivedAtMs, tenant, gateway, source, dialect, reason,
    message, input, is_whole AS isWhole, log_topic AS logTopic, log_offset AS logOffset
  FROM rejections`
const ORDER_SQL = `
  ORDER BY arrived_at DESC, call_id DESC, log_topic DESC, log_offset DESC
  LIMIT {limit:UInt32}`

/** Throws `CursorError`, and what the store's client throws when the store is away. */
export async function readRejections(store: Store, query: RejectionsQuery): Promise<RejectionsPage> {
  const { tenant, source, reason, limit } = query
  const after = query.cursor === null ? null : decodeCursor(query.cursor)
  const conditions = [
    ...rejectionConditions(query),
    ...(after === null
      ? []
      : [
          "(arrived_at, call_id, log_topic, log_offset) < (fromUnixTimestamp64Milli({atMs:Int64}, 'UTC'), {callId:String}, {logTopic:String}, {logOffset:UInt64})",
        ]),
  ]
  const [atMs = 0, callId = '', logTopic = '', logOffset = 0] = after ?? []
  const result = await store.client.query({
    query: `${SELECT_SQL} WHERE ${conditions.join(' AND ')}${ORDER_SQL}`,
    query_params: { tenant, source, reason, atMs, callId, logTopic, logOffset, limit: limit + 1 },
    format: 'JSONEachRow',
  })
  const rows = await result.json<Row>()
  const page = rows.slice(0, limit)
  const last = rows.length > limit ? page.at(-1) : undefined
  return {
    rejections: page.map(({ logTopic: _topic, logOffset: _offset, ...rejection }) => rejection),
    nextCursor:
      last === undefined ? null : encodeCursor([last.arrivedAtMs, last.callId, last.logTopic, last.logOffset]),
  }
}

export const encodeCursor = (cursor: Cursor) => Buffer.from(JSON.stringify(cursor)).toString('base64url')

export function decodeCursor(text: string): Cursor {
  try {
    const cursor: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (cursorSchema.Check(cursor)) return cursor
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new CursorError()
}

/** What the store holds: calls, and rejections by reason. */
export interface StoredTotals {
  calls: number
  rejections: Record<string, number>
}

/** Counts without reading rows, so it may be asked often. Throws when the store is away. */
export async function readTotals(store: Store): Promise<StoredTotals> {
  const [calls, rejections] = await Promise.all([
    store.client.query({ query: 'SELECT count() AS count FROM calls', format: 'JSONEachRow' }),
    store.client.query({
      query: 'SELECT reason, count() AS count FROM rejections GROUP BY reason',
      format: 'JSONEachRow',
    }),
  ])
  const [row] = await calls.json<{ count: number }>()
  const byReason = await rejections.json<{ reason: string; count: number }>()
  return {
    calls: row?.count ?? 0,
    rejections: Object.fromEntries(byReason.map(({ reason, count }) => [reason, count])),
  }
}
