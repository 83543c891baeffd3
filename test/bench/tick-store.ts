/**
 * A store of many subjects, made up as it is read: so much as an analyzer holds of them can be measured without holding
 * anything else. Subjects are copies of a few kinds, each with a name of its own.
 */
import type { ClickHouseClient } from '@clickhouse/client'

const HOUR_MS = 3_600_000
/** Rows that are handed on at once, as the client does with what it read at once. */
const ROWS_AT_ONCE = 500
/** Consumers of a tenant. */
const CONSUMERS = 100

type Row = readonly (string | number | readonly string[])[]
type Params = Record<string, number>

/** `kinds` are requests by the hour, of which the last ended at `endMs`; each hour was used evenly. */
export function storeOf(count: number, kinds: readonly Float32Array[], endMs: number): ClickHouseClient {
  const used = (kind: Float32Array, fromMs: number, toMs: number) => {
    let sum = 0
    for (let atMs = Math.floor(fromMs / HOUR_MS) * HOUR_MS; atMs < Math.min(toMs, endMs); atMs += HOUR_MS) {
      const units = kind[kind.length + (atMs - endMs) / HOUR_MS] ?? 0
      const before = (ms: number) => Math.floor((units * Math.max(0, Math.min(HOUR_MS, ms - atMs))) / HOUR_MS)
      sum += before(toMs) - before(fromMs)
    }
    return sum
  }
  function* subjects(): Iterable<[kind: Float32Array, subject: Row]> {
    for (let index = 0; index < count; index++) {
      const kind = kinds[index % kinds.length] ?? new Float32Array()
      yield [kind, [`tenant-${Math.floor(index / CONSUMERS)}`, `consumer-${index}`]]
    }
  }
  function* slots({ fromMs = 0, toMs = 0, startMs = 0, stepMs = HOUR_MS }: Params, slotSize: number): Iterable<Row> {
    for (const [kind, subject] of subjects()) {
      for (let slot = Math.floor((fromMs - startMs) / stepMs); startMs + slot * stepMs < toMs; slot++) {
        const beginMs = startMs + slot * stepMs
        const units = used(kind, Math.max(fromMs, beginMs), Math.min(toMs, beginMs + stepMs))
        if (units > 0) yield [...subject, slot * slotSize, 0, units, units]
      }
    }
  }
  function* answer(query: string, params: Params): Iterable<Row> {
    if (/FROM (decisions|forecasts)/.test(query)) return
    if (query.includes('max(log_offset)')) yield ['log', 0, 1, endMs, endMs]
    else if (query.includes('countIf(late')) yield [['0']]
    else if (query.includes('AS hour_seconds')) yield* slots(params, HOUR_MS / 1000)
    else if (query.includes('AS step')) yield* slots(params, 1)
    else {
      const isTop = query.includes('subjects_in_all')
      for (const [kind, subject] of subjects()) {
        // All of them call all the time.
        yield [...subject, ...(isTop ? [count, count] : [used(kind, params.fromMs ?? 0, params.toMs ?? 0)])]
      }
    }
  }
  const client = {
    query: async ({ query, query_params }: { query: string; query_params: Params }) => ({
      stream: () => batches(answer(query, query_params)),
    }),
    insert: async () => undefined,
  }
  return client as unknown as ClickHouseClient
}

async function* batches(rows: Iterable<Row>) {
  let some: { json: () => unknown }[] = []
  for (const row of rows) {
    // As a text that is parsed, so that its strings are its own.
    const text = JSON.stringify(row)
    some.push({ json: () => JSON.parse(text) as unknown })
    if (some.length < ROWS_AT_ONCE) continue
    yield some
    some = []
  }
  yield some
}
