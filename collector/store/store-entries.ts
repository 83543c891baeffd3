/** A batch of the log's entries into the tables: parse, leave out what is stored already, insert. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type LogBatch, type LogPartition, partitionOf } from '../log/call-log.ts'
import { isSnapshotPiece } from '../log/control-change.ts'
import { createCallRows } from './call-rows.ts'
import type { Duplicates } from './duplicates.ts'
import type { Fence } from './fence.ts'
import { insertRows } from './insert.ts'
import { createJointInserts } from './joint-inserts.ts'
import type { Store } from './open.ts'
import {
  auditRows,
  createRejectionRows,
  decisionRows,
  type IdentifiedRows,
  type RowKey,
  type TopicRows,
  toUnreadable,
} from './topic-rows.ts'

/** Entries parsed in one turn of the event loop, which has requests to serve too: some 5 ms. */
const PARSE_ENTRIES_MAX = 2_000

export interface StoredCounts {
  rows: number
  duplicates: number
  unreadable: number
}

/** Resolves when the store has acknowledged all of the batch's entries; throws as `insertRows` does. */
export type StoreEntries = (batch: StorableBatch) => Promise<StoredCounts>

interface StorableBatch {
  partition: LogPartition
  /** Of the topic, when the ids that are known were read. */
  partitions: number
  fence: Fence
  entries: LogBatch['entries']
  /** Offsets of entries that are stored already, as it was read back. */
  stored: ReadonlySet<number>
  /** After a failure: what is wrong with this batch must not fail the others, again and again. */
  isAlone: boolean
}

interface Parsed<T> {
  offset: number
  value: T
}
interface Keyed<T> extends Parsed<T> {
  key: RowKey
}

/** What is known of the rows that have ids. */
export type DuplicatesByTopic = Record<'calls' | 'decisions', Duplicates>

export const createStoreEntries = (deps: {
  store: Store
  duplicates: DuplicatesByTopic
  labelColumns: readonly string[]
  now: () => number
}): StoreEntries => {
  const { store, duplicates, now } = deps
  const callRows = createCallRows(deps.labelColumns)

  const joint = createJointInserts(store)

  const insert = async <T>(rows: TopicRows<T>, batch: StorableBatch, parsed: Parsed<T>[]) => {
    const { partition, fence, stored, isAlone } = batch
    const missing = parsed.filter(({ offset }) => !stored.has(offset))
    if (missing.length === 0) return 0
    const piece = { partition, fence, lines: toLines(rows, missing), rows: missing.length }
    await (isAlone ? insertRows(store, rows.target, [piece]) : joint.insert(rows.target, piece))
    return missing.length
  }
  const storeUnreadable = (batch: StorableBatch, unreadable: Parsed<string>[]): Promise<number> => {
    const { topic } = batch.partition
    const rejections = unreadable.map(({ offset, value }) => ({ offset, value: toUnreadable(topic, value, now()) }))
    return insert(createRejectionRows(topic), batch, rejections)
  }
  const storeAll = async <T>(rows: TopicRows<T>, batch: StorableBatch): Promise<StoredCounts> => {
    const { parsed, unreadable } = await joint.prepare(() => parseEntries(rows, batch.entries))
    const rejected = await storeUnreadable(batch, unreadable)
    return { rows: await insert(rows, batch, parsed), duplicates: 0, unreadable: rejected }
  }
  const storeOnce = async <T>(
    rows: IdentifiedRows<T>,
    known: Duplicates,
    batch: StorableBatch,
  ): Promise<StoredCounts> => {
    const { fresh, duplicateCount, unreadable } = await joint.prepare(async () => {
      const { parsed, unreadable } = await parseEntries(rows, batch.entries)
      // What an insert of unclear outcome has stored was never added, and may come again further down in this batch.
      const keyed = parsed.map(entry => ({ ...entry, key: rows.keyOf(entry.value) }))
      const [stored, missing] = partitionBy(keyed, ({ offset }) => batch.stored.has(offset))
      known.add(stored.map(entry => entry.key))
      // Sent when the topic had other partitions: whoever reads another one may have stored it since.
      const isAstray = ({ id }: RowKey) => partitionOf(id, batch.partitions) !== batch.partition.partition
      const fresh = await dropDuplicates(known, missing, isAstray)
      return { fresh, duplicateCount: missing.length - fresh.length, unreadable }
    })
    const rejected = await storeUnreadable(batch, unreadable)
    await insert(rows, batch, fresh)
    known.add(fresh.map(entry => entry.key))
    return { rows: fresh.length, duplicates: duplicateCount, unreadable: rejected }
  }
  return batch => {
    switch (batch.partition.topic) {
      case 'calls':
        return storeOnce(callRows, duplicates.calls, batch)
      case 'rejections':
        return storeAll(createRejectionRows('rejections'), batch)
      case 'decisions':
        return storeOnce(decisionRows, duplicates.decisions, batch)
      case 'control':
        return storeAll(auditRows, { ...batch, entries: batch.entries.filter(({ value }) => !isSnapshotPiece(value)) })
    }
  }
}

const parseEntries = async <T>(rows: TopicRows<T>, entries: LogBatch['entries']) => {
  const parsed: Parsed<T>[] = []
  const unreadable: Parsed<string>[] = []
  for (const [index, { offset, value }] of entries.entries()) {
    if (index > 0 && index % PARSE_ENTRIES_MAX === 0) await nextTurn()
    const content = rows.parse(value)
    if (content === null) unreadable.push({ offset, value })
    else parsed.push({ offset, value: content })
  }
  return { parsed, unreadable }
}

const partitionBy = <T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] => {
  const first: T[] = []
  const second: T[] = []
  for (const item of items) (isFirst(item) ? first : second).push(item)
  return [first, second]
}

const dropDuplicates = async <T>(
  known: Duplicates,
  entries: readonly Keyed<T>[],
  isAstray: (key: RowKey) => boolean,
) => {
  const keys = entries.map(entry => entry.key)
  const stored = await known.findStored(keys, isAstray)
  const seen = new Set<string>()
  return entries.filter(({ key: { id } }) => {
    if (stored.has(id) || seen.has(id)) return false
    seen.add(id)
    return true
  })
}

function* toLines<T>(rows: TopicRows<T>, parsed: readonly Parsed<T>[]): Generator<string> {
  for (const { offset, value } of parsed) yield rows.toLine(value, offset)
}
