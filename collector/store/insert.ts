/** The one way into the tables that follow the log: rows with their positions, behind a fence. */
import { Readable } from 'node:stream'
import type { LogPartition } from '../log/call-log.ts'
import { type Fence, fenceInsert, toInsertError } from './fence.ts'
import type { Store } from './open.ts'
import type { StoreTables } from './tables.ts'

/** An insert that takes longer is given up; its outcome is read back. */
const INSERT_SECONDS_MAX = 60
/** Text is handed to the socket in pieces of about this size, so that the engine parses while we encode. */
const CHUNK_CHARACTERS = 128 * 1024

/** What a row is made of, in the order of its JSON array. `log_offset` is one of them. */
interface InsertColumn {
  name: string
  /** Type in the JSON array; `instant` is Unix milliseconds there and a DateTime64(3) in the table. */
  type:
    | 'String'
    | 'UUID'
    | 'UInt32'
    | 'UInt64'
    | 'Nullable(UInt64)'
    | 'Nullable(UInt16)'
    | 'Nullable(Float32)'
    | 'Float64'
    | 'Int64'
    | 'Bool'
    | 'Array(String)'
    | 'Labels'
    | 'instant'
}

export interface InsertTarget {
  table: keyof StoreTables
  columns: readonly InsertColumn[]
  /** Text columns that are the same in every row. */
  constants?: Record<string, string>
}

/** Rows of one partition. */
export interface InsertPiece {
  partition: LogPartition
  fence: Fence
  /** One JSON array each, in the order of the target's columns. */
  lines: Iterable<string>
}

/** Before the columns of every target: what the rows of a piece have in common. */
const POSITION_COLUMNS: InsertTarget['columns'] = [
  { name: 'log_id', type: 'String' },
  { name: 'log_partition', type: 'UInt32' },
]

/**
 * Inserts the pieces, which are of one topic. Resolves when the store has acknowledged all of them; throws
 * `STORE_FENCED` (nothing was written, as one of the partitions belongs to somebody else) or `STORE_UNAVAILABLE` (all,
 * some or none were).
 */
export const insertRows = async (store: Store, target: InsertTarget, pieces: readonly InsertPiece[]): Promise<void> => {
  const fences = pieces.map(({ fence }) => fence)
  const { condition, params, queryId } = fenceInsert(store, fences)
  const constants = target.constants ?? {}
  const columns = [...POSITION_COLUMNS, ...target.columns]
  const names = [...columns.map(column => column.name), ...Object.keys(constants)]
  const values = [
    ...columns.map(({ name, type }) => (type === 'instant' ? `fromUnixTimestamp64Milli(${name}, 'UTC')` : name)),
    ...Object.keys(constants).map(name => `{${name}:String}`),
  ]
  const structure = columns.map(({ name, type }) => `${name} ${INPUT_TYPES[type] ?? type}`).join(', ')
  try {
    const { stream } = await store.client.exec({
      query: `INSERT INTO ${target.table} (${names.join(', ')})
        SELECT ${values.join(', ')} FROM input('${structure}')
        WHERE ${condition}
        FORMAT JSONCompactEachRow`,
      query_id: queryId,
      query_params: { ...params, ...constants },
      values: Readable.from(toChunks(pieces), { objectMode: false }),
      clickhouse_settings: {
        async_insert: 0,
        deduplicate_insert: 'disable',
        max_execution_time: INSERT_SECONDS_MAX,
        // Days come from the data: an insert that is refused for their number would be refused for ever.
        max_partitions_per_insert_block: '0',
        // Batches are small enough for one part, and the other core is for whoever decides.
        max_insert_threads: '1',
        input_format_parallel_parsing: 0,
      },
    })
    await stream.resume().toArray()
  } catch (error) {
    throw toInsertError(error, fences)
  }
}

const INPUT_TYPES: Partial<Record<InsertColumn['type'], string>> = {
  Labels: 'Map(String, String)',
  instant: 'Int64',
}

function* toChunks(pieces: readonly InsertPiece[]): Generator<string> {
  let chunk = ''
  for (const { partition, lines } of pieces) {
    const begin = `[${JSON.stringify(partition.logId)},${partition.partition},`
    for (const line of lines) {
      chunk += `${begin}${line.slice(1)}\n`
      if (chunk.length >= CHUNK_CHARACTERS) {
        yield chunk
        chunk = ''
      }
    }
  }
  if (chunk !== '') yield chunk
}
