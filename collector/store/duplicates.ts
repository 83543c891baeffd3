/**
 * Which rows of a table are stored already: calls, and sums of decisions. A set of ids in memory is complete for what
 * started at or after some instant T: what is not in it is new. What started before T is looked up in the store. T moves
 * forward when the set is full.
 */
import { type CallIdSet, createCallIdSet } from '../log/call-ids.ts'
import type { Store } from './open.ts'
import type { RowKey } from './topic-rows.ts'

/** Most ids that are read from the store at the start: some seconds' worth. */
const FILL_ROWS_MAX = 700_000
/** Minutes whose counts are looked at to find how far back that reaches. */
const FILL_MINUTES_MAX = 100_000
/** Ids of one look-up; they travel as one parameter, which may have 128 KiB. */
const LOOKUP_IDS_MAX = 2_000
/** Names that are worth naming in a look-up, for the same reason. */
const LOOKUP_NAMES_CHARACTERS_MAX = 16 * 1024

/** Tables whose rows have ids, and the columns of these and of the start. */
export const ID_TABLES = {
  calls: { id: 'call_id', startedAt: 'started_at' },
  decisions: { id: 'sum_id', startedAt: 'minute' },
} as const
export type IdTable = keyof typeof ID_TABLES

export interface Duplicates {
  /** Reads the newest ids from the store. Only right while nobody else can insert: after the fence. */
  fill(): Promise<void>
  /**
   * Answers the ids of those that are stored; where others may have inserted since the filling, `isAstray` says so. An id
   * that occurs twice in `keys` is the caller's to notice.
   */
  findStored(keys: readonly RowKey[], isAstray: (key: RowKey) => boolean): Promise<ReadonlySet<string>>
  /** To be called when the store has acknowledged them. */
  add(keys: readonly RowKey[]): void
  /** The instant T, Unix milliseconds. */
  readonly completeFromMs: number
}

/** `bytesMax` bounds the memory of the set. */
export const createDuplicates = (deps: {
  store: Store
  table: IdTable
  bytesMax: number
  /** Most ids to read at the start. */
  fillRowsMax?: number
}): Duplicates => {
  const { store, table, bytesMax, fillRowsMax = FILL_ROWS_MAX } = deps
  let ids = createCallIdSet({ bytesMax })
  let filling: CallIdSet | null = null
  let filled: Promise<void> = Promise.resolve()
  /** A filling that has not begun: good for everybody who asks until then. */
  let upcoming: Promise<void> | null = null
  const fill = async (): Promise<void> => {
    const fresh = createCallIdSet({ bytesMax })
    // What another partition adds meanwhile may be too late for the query.
    filling = fresh
    try {
      const fromMs = await readFillStart(store, table, fillRowsMax)
      fresh.forgetBefore(fromMs)
      for await (const [id, startedAtMs] of readIds(store, table, fromMs)) fresh.add(id, startedAtMs)
      ids = fresh
    } finally {
      filling = null
    }
  }
  return {
    fill: () => {
      upcoming ??= filled
        .catch(() => undefined)
        .then(() => {
          upcoming = null
          return fill()
        })
      filled = upcoming
      return upcoming
    },
    findStored: async (keys, isAstray) => {
      const stored = new Set<string>()
      const unsure: RowKey[] = []
      for (const key of keys) {
        if (key.startedAtMs < ids.completeFromMs) unsure.push(key)
        else if (ids.has(key.id)) stored.add(key.id)
        else if (isAstray(key)) unsure.push(key)
      }
      for (const id of await lookUpIds(store, table, unsure)) stored.add(id)
      return stored
    },
    add: keys => {
      for (const { id, startedAtMs } of keys) {
        ids.add(id, startedAtMs)
        filling?.add(id, startedAtMs)
      }
    },
    get completeFromMs() {
      return ids.completeFromMs
    },
  }
}

/** Answers which of the ids are in the table, whatever their number. */
export const lookUpIds = async (
  store: Store,
  table: IdTable,
  keys: readonly RowKey[],
): Promise<ReadonlySet<string>> => {
  const stored = new Set<string>()
  // Neighbours in time share granules of the table, so each look-up reads few of them.
  const inOrder = keys.toSorted((a, b) => a.startedAtMs - b.startedAtMs)
  for (let from = 0; from < inOrder.length; from += LOOKUP_IDS_MAX) {
    for (const id of await lookUpChunk(store, table, inOrder.slice(from, from + LOOKUP_IDS_MAX))) stored.add(id)
  }
  return stored
}

const lookUpChunk = async (store: Store, table: IdTable, keys: readonly RowKey[]): Promise<string[]> => {
  const { id, startedAt } = ID_TABLES[table]
  const tenants = [...new Set(keys.map(key => key.tenant ?? ''))]
  const consumers = [...new Set(keys.map(key => key.consumer ?? ''))]
  const charactersOf = (names: string[]) => names.reduce((sum, name) => sum + name.length, 0)
  const isNamed = charactersOf(tenants) + charactersOf(consumers) <= LOOKUP_NAMES_CHARACTERS_MAX
  const result = await store.client.query({
    query: `SELECT DISTINCT ${id} FROM ${table}
      WHERE ${startedAt} >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ${startedAt} <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        ${isNamed ? 'AND tenant IN {tenants:Array(String)} AND consumer IN {consumers:Array(String)}' : ''}
        AND ${id} IN {ids:Array(UUID)}`,
    query_params: {
      from_ms: keys[0]?.startedAtMs ?? 0,
      to_ms: keys.at(-1)?.startedAtMs ?? 0,
      ids: keys.map(key => key.id),
      ...(isNamed ? { tenants, consumers } : {}),
    },
    use_multipart_params: true,
    format: 'JSONCompactEachRow',
  })
  return (await result.json<[string]>()).map(([found]) => found)
}

/** From where on the table holds at most `rowsMax` rows, Unix milliseconds; 0 when it holds no more in all. */
const readFillStart = async (store: Store, table: IdTable, rowsMax: number): Promise<number> => {
  const result = await store.client.query({
    query: `SELECT toUnixTimestamp(minute), count() FROM ${table} GROUP BY minute ORDER BY minute DESC
      LIMIT {minutes:UInt32}`,
    query_params: { minutes: FILL_MINUTES_MAX },
    format: 'JSONCompactEachRow',
  })
  const minutes = await result.json<[number, number]>()
  let rows = 0
  for (const [startSeconds, count] of minutes) {
    rows += count
    if (rows > rowsMax) return (startSeconds + 60) * 1_000
  }
  return minutes.length < FILL_MINUTES_MAX ? 0 : (minutes.at(-1)?.[0] ?? 0) * 1_000
}

async function* readIds(store: Store, table: IdTable, fromMs: number): AsyncGenerator<[string, number]> {
  const { id, startedAt } = ID_TABLES[table]
  const result = await store.client.query({
    query: `SELECT ${id}, toUnixTimestamp64Milli(toDateTime64(${startedAt}, 3, 'UTC')) FROM ${table}
      WHERE minute >= toDateTime({from:UInt32}, 'UTC')`,
    query_params: { from: Math.floor(fromMs / 1_000) },
    format: 'JSONCompactEachRow',
  })
  for await (const rows of result.stream<[string, number]>()) {
    for (const row of rows) yield row.json()
  }
}
