/**
 * Which calls are stored already. A set of ids in memory is complete for calls that started at or after some instant T:
 * what is not in it is new. Calls that started before T are looked up in the store. T moves forward when the set is full.
 */
import type { CallRecord } from '../call-record.ts'
import { type CallIdSet, createCallIdSet } from '../log/call-ids.ts'
import type { Store } from './open.ts'

/** Most ids that are read from the store at the start: some seconds' worth. */
const FILL_ROWS_MAX = 2_000_000
/** Minutes whose counts are looked at to find how far back that reaches. */
const FILL_MINUTES_MAX = 100_000
/** Ids of one look-up; they travel as one parameter, which may have 128 KiB. */
const LOOKUP_IDS_MAX = 2_000
/** Names that are worth naming in a look-up, for the same reason. */
const LOOKUP_NAMES_CHARACTERS_MAX = 16 * 1024

/** What is needed of a call to recognize it. */
export type CallKey = Pick<CallRecord, 'callId' | 'tenant' | 'consumer' | 'startedAtMs'>

export interface Duplicates {
  /** Reads the newest ids from the store. Only right while nobody else can insert: after the fence. */
  fill(): Promise<void>
  /** Answers the ids of `calls` that are stored. An id that occurs twice in `calls` is the caller's to notice. */
  findStored(calls: readonly CallKey[]): Promise<ReadonlySet<string>>
  /** To be called when the store has acknowledged them. */
  add(calls: readonly CallKey[]): void
  /** The instant T, Unix milliseconds. */
  readonly completeFromMs: number
}

/** `bytesMax` bounds the memory of the set. */
export const createDuplicates = (deps: {
  store: Store
  bytesMax: number
  /** Most ids to read at the start. */
  fillRowsMax?: number
}): Duplicates => {
  const { store, bytesMax, fillRowsMax = FILL_ROWS_MAX } = deps
  let ids = createCallIdSet({ bytesMax })
  let filling: CallIdSet | null = null
  let filled: Promise<void> = Promise.resolve()
  const fill = async (): Promise<void> => {
    const fresh = createCallIdSet({ bytesMax })
    // What another partition adds meanwhile may be too late for the query.
    filling = fresh
    try {
      const fromMs = await readFillStart(store, fillRowsMax)
      fresh.forgetBefore(fromMs)
      for await (const [id, startedAtMs] of readIds(store, fromMs)) fresh.add(id, startedAtMs)
      ids = fresh
    } finally {
      filling = null
    }
  }
  return {
    fill: () => {
      filled = filled.catch(() => undefined).then(fill)
      return filled
    },
    findStored: async calls => {
      const stored = new Set<string>()
      const older: CallKey[] = []
      for (const call of calls) {
        if (call.startedAtMs < ids.completeFromMs) older.push(call)
        else if (ids.has(call.callId)) stored.add(call.callId)
      }
      for (const id of await lookUpCalls(store, older)) stored.add(id)
      return stored
    },
    add: calls => {
      for (const call of calls) {
        ids.add(call.callId, call.startedAtMs)
        filling?.add(call.callId, call.startedAtMs)
      }
    },
    get completeFromMs() {
      return ids.completeFromMs
    },
  }
}

/** Answers which of the calls are in the table `calls`, whatever their number. */
export const lookUpCalls = async (store: Store, calls: readonly CallKey[]): Promise<ReadonlySet<string>> => {
  const stored = new Set<string>()
  // Neighbours in time share granules of the table, so each look-up reads few of them.
  const inOrder = calls.toSorted((a, b) => a.startedAtMs - b.startedAtMs)
  for (let from = 0; from < inOrder.length; from += LOOKUP_IDS_MAX) {
    for (const id of await lookUpChunk(store, inOrder.slice(from, from + LOOKUP_IDS_MAX))) stored.add(id)
  }
  return stored
}

const lookUpChunk = async (store: Store, calls: readonly CallKey[]): Promise<string[]> => {
  const tenants = [...new Set(calls.map(call => call.tenant ?? ''))]
  const consumers = [...new Set(calls.map(call => call.consumer ?? ''))]
  const charactersOf = (names: string[]) => names.reduce((sum, name) => sum + name.length, 0)
  const isNamed = charactersOf(tenants) + charactersOf(consumers) <= LOOKUP_NAMES_CHARACTERS_MAX
  const result = await store.client.query({
    query: `SELECT DISTINCT call_id FROM calls
      WHERE started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND started_at <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        ${isNamed ? 'AND tenant IN {tenants:Array(String)} AND consumer IN {consumers:Array(String)}' : ''}
        AND call_id IN {ids:Array(UUID)}`,
    query_params: {
      from_ms: calls[0]?.startedAtMs ?? 0,
      to_ms: calls.at(-1)?.startedAtMs ?? 0,
      ids: calls.map(call => call.callId),
      ...(isNamed ? { tenants, consumers } : {}),
    },
    use_multipart_params: true,
    format: 'JSONCompactEachRow',
  })
  return (await result.json<[string]>()).map(([id]) => id)
}

/** From where on the store holds at most `rowsMax` calls, Unix milliseconds; 0 when it holds no more in all. */
const readFillStart = async (store: Store, rowsMax: number): Promise<number> => {
  const result = await store.client.query({
    query: `SELECT toUnixTimestamp(minute), count() FROM calls GROUP BY minute ORDER BY minute DESC
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

async function* readIds(store: Store, fromMs: number): AsyncGenerator<[string, number]> {
  const result = await store.client.query({
    query: `SELECT call_id, toUnixTimestamp64Milli(started_at) FROM calls WHERE minute >= toDateTime({from:UInt32}, 'UTC')`,
    query_params: { from: Math.floor(fromMs / 1_000) },
    format: 'JSONCompactEachRow',
  })
  for await (const rows of result.stream<[string, number]>()) {
    for (const row of rows) yield row.json()
  }
}
