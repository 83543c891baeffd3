/**
 * The log on the local disk. Each topic is an LMDB environment of its own under `dir`, which several processes may
 * append to and read at once; each reader's positions are one more, under `dir/positions/<name>`.
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { type Database, open, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb'
import { type Bell, createBell } from './bell.ts'
import {
  type CallLog,
  type EmbeddedLogOptions,
  LOG_TOPICS,
  type LogDeps,
  LogError,
  type LogSubscription,
  type LogTopic,
} from './call-log.ts'
import { claimFolder } from './claim.ts'
import { createFolder, OutdatedError, untilNewest } from './folder.ts'
import { type PositionRecord, type Positions, TopicSubscription, topicLag } from './subscription.ts'
import { BATCH_ENTRIES_MAX, type BlockEnvironment, type BlockKey, createTopicLog, type TopicLog } from './topic.ts'

/** Each topic's part of `sizeBytesMax`: a flood of rejections must not keep calls or tokens out. */
const TOPIC_SHARE: Record<LogTopic, number> = { calls: 0.7, rejections: 0.1, decisions: 0.1, control: 0.1 }
/** The embedded log needs only one: its readers are as fast as one process. */
const PARTITION = 0
/** Positions are a few hundred bytes. */
const POSITIONS_MAP_BYTES = 2 ** 20

/**
 * Opens nothing but the folder; a topic is opened, and made if missing, when it is first used, so a reader may start
 * before anything was ever appended. Throws when `dir` cannot be made, and `LogError` `LOG_OPEN_TWICE` while this process
 * has it open already.
 */
export async function openEmbeddedLog(options: EmbeddedLogOptions, deps: LogDeps): Promise<CallLog> {
  const giveBack = await claimFolder(deps.dir)
  if (giveBack === null)
    throw new LogError('LOG_OPEN_TWICE', `this process has the log in ${deps.dir} open already; close that one first`)
  const { log, onLoss, now = Date.now } = deps
  const bell = createBell()
  const topics = openTopics(options, deps.dir, now, bell)
  const positions = new Map<string, Positions>()
  const subscriptions = new Set<LogSubscription>()
  const positionsOf = (name: string): Positions => {
    assert(/^[a-z][a-z0-9-]{0,62}$/.test(name), 'a reader is named in lower case')
    const found = positions.get(name) ?? openPositions(join(deps.dir, 'positions', name))
    positions.set(name, found)
    return found
  }

  return {
    append: async (topic, entries) => topics[topic].append(entries.map(entry => entry.value)),
    subscribe(names, name, reader) {
      const common = { name, reader, positions: positionsOf(name), bell, log, onLoss, now }
      const readers = names.map(topic => new TopicSubscription({ ...common, topic, topicLog: topics[topic] }))
      const subscription: LogSubscription = {
        async close() {
          await Promise.all(readers.map(each => each.close()))
          subscriptions.delete(subscription)
        },
      }
      subscriptions.add(subscription)
      return subscription
    },
    lag: (names, name) =>
      Promise.all(names.map(topic => topicLag(topic, { topicLog: topics[topic], positions: positionsOf(name), now }))),
    async read(topic, partition, fromOffset, entriesMax) {
      assert.equal(partition, PARTITION)
      const batch = await topics[topic].read(fromOffset, Math.min(entriesMax, BATCH_ENTRIES_MAX))
      const read = { topic, logId: batch.logId, partition }
      const unreadable = batch.lost.filter(loss => loss.reason === 'unreadable')
      for (const loss of unreadable) onLoss({ ...read, reader: 'read', ...loss })
      return { ...read, entries: batch.entries, nextOffset: batch.nextOffset }
    },
    async partitions(topic) {
      const { logId, beginOffset, endOffset } = await topics[topic].state()
      return [{ topic, logId, partition: PARTITION, beginOffset, endOffset }]
    },
    unavailable(only) {
      for (const topic of only === undefined ? LOG_TOPICS : [only]) {
        const reason = topics[topic].unavailable()
        if (reason !== null) return `${topic}: ${reason}`
      }
      return null
    },
    trim: ({ topic, logId }, belowOffset) =>
      topics[topic].trim(logId, belowOffset, now() - options.retentionSeconds * 1_000),
    async close() {
      await Promise.all([...subscriptions].map(subscription => subscription.close()))
      await Promise.all([...Object.values(topics), ...positions.values()].map(part => part.close()))
      giveBack()
    },
  }
}

function openTopics(
  options: EmbeddedLogOptions,
  dir: string,
  now: () => number,
  bell: Bell,
): Record<LogTopic, TopicLog> {
  const openOne = (topic: LogTopic): TopicLog => {
    const storedBytesMax = Math.floor(options.sizeBytesMax * TOPIC_SHARE[topic])
    const folder = createFolder(
      join(dir, topic),
      path => openBlocks(path, storedBytesMax),
      blocks => blocks.close(),
    )
    return createTopicLog(folder, { storedBytesMax, now, onAppended: () => bell.ring(topic) })
  }
  return {
    calls: openOne('calls'),
    rejections: openOne('rejections'),
    decisions: openOne('decisions'),
    control: openOne('control'),
  }
}

/** What is kept beside the blocks, changed in the same transactions. */
interface Head {
  logId: string
  endOffset: number
  storedBytes: number
}

const HEAD = 'head'
/** Ordered by the offset after the block, so that a range from `[offset + 1]` begins with the block that holds it. */
type Key = [nextOffset: number, firstOffset: number, appendedAtMs: number, storedBytes: number, characters: number]

function openBlocks(path: string, mapBytes: number): Promise<BlockEnvironment & { close(): Promise<void> }> {
  return logEnvironment(path, mapBytes, root => {
    const blocks = root.openDB<Uint8Array, Key>('blocks', { encoding: 'binary' })
    const meta = root.openDB<Head, string>('meta', { encoding: 'json' })
    if (meta.get(HEAD) === undefined) meta.putSync(HEAD, { logId: randomUUID(), endOffset: 0, storedBytes: 0 })
    return toBlockEnvironment(path, { root, blocks, meta })
  })
}

function toBlockEnvironment(
  path: string,
  { root, blocks, meta }: { root: RootDatabase; blocks: Database<Uint8Array, Key>; meta: Database<Head, string> },
): BlockEnvironment & { close(): Promise<void> } {
  const headOf = (): Head => {
    const head = meta.get(HEAD)
    if (head === undefined) throw new LogError('LOG_CORRUPT', `The log in ${path} has lost its head`)
    return head
  }
  const keys = (fromOffset: number, blocksMax: number): BlockKey[] =>
    Array.from(blocks.getKeys({ start: [fromOffset + 1] as unknown as Key, limit: blocksMax }), toBlockKey)

  return {
    state() {
      root.resetReadTxn()
      const head = headOf()
      return { ...head, beginOffset: keys(0, 1)[0]?.firstOffset ?? head.endOffset }
    },
    keys,
    block: key => blocks.getBinary(toKey(key)),
    append: (group, appendedAtMs, storedBytesMax) =>
      transact(root, () => {
        const head = headOf()
        for (const block of group) {
          const key = {
            firstOffset: head.endOffset,
            nextOffset: head.endOffset + block.count,
            appendedAtMs,
            storedBytes: storedBytesOf(block.bytes),
            characters: block.characters,
          }
          head.storedBytes += key.storedBytes
          head.endOffset = key.nextOffset
          blocks.putSync(toKey(key), block.bytes)
        }
        if (head.storedBytes > storedBytesMax) throw new LogError('LOG_FULL', 'The log is full')
        meta.putSync(HEAD, head)
      }),
    remove: dropped =>
      transact(root, () => {
        const head = headOf()
        // A reader that was killed in mid-read would keep the dropped pages from being used again.
        root.readerCheck()
        for (const key of dropped) if (blocks.removeSync(toKey(key))) head.storedBytes -= key.storedBytes
        meta.putSync(HEAD, head)
      }),
    renew: (logId, shortOf) =>
      transact(root, () => {
        const head = headOf()
        if (head.logId !== logId) return true
        if (head.endOffset >= shortOf) return false
        meta.putSync(HEAD, { ...head, logId: randomUUID() })
        return true
      }),
    close: () => root.close(),
  }
}

/** Every process must open it alike. A commit resolves after it was synced: readers see durable blocks only. */
const logEnvironment = <T>(path: string, mapSize: number, setUp: (root: RootDatabase) => T): Promise<T> =>
  openEnvironment({ path, mapSize, overlappingSync: false, maxDbs: 2, encoding: 'binary' }, setUp)

/** Opens an environment; `setUp` runs in a transaction. */
export function openEnvironment<T>(options: RootDatabaseOptionsWithPath, setUp: (root: RootDatabase) => T): Promise<T> {
  const openOnce = async (): Promise<T> => {
    const root = open(options)
    try {
      return root.transactionSync(() => {
        requireNewest(root)
        return setUp(root)
      })
    } catch (error) {
      await root.close()
      throw error
    }
  }
  return untilNewest(openOnce, async () => undefined)
}

/**
 * Throws `OutdatedError` in a transaction that begins before the last commit and would take its place. Whoever opens an
 * environment sets the number of its last commit, which all processes share, to the one it has found in the file, also when
 * another process has committed meanwhile (LMDB's ITS#9496, in lmdb 3.5.6).
 */
function requireNewest(root: RootDatabase): void {
  // `getStats` has it, too, and counts all free pages for it.
  const { env } = root as RootDatabase & { env: { info(): { lastTxnId: number } } }
  if (root.getWriteTxnId() !== env.info().lastTxnId + 1) throw new OutdatedError()
}

/** A child transaction, because only that is undone when `act` throws. LMDB keeps the reason of a failure apart. */
export async function transact<T>(root: RootDatabase, act: () => T): Promise<T> {
  try {
    return await root.childTransaction(() => {
      requireNewest(root)
      return act()
    })
  } catch (error) {
    if (error instanceof Error && 'commitError' in error) await error.commitError
    throw error
  }
}

function toKey(key: BlockKey): Key {
  return [key.nextOffset, key.firstOffset, key.appendedAtMs, key.storedBytes, key.characters]
}

function toBlockKey([nextOffset, firstOffset, appendedAtMs, storedBytes, characters]: Key): BlockKey {
  return { firstOffset, nextOffset, appendedAtMs, storedBytes, characters }
}

const PAGE_BYTES = 4_096
const PAGE_HEADER_BYTES = 16
/** Key, node and index of one block. */
const ENTRY_OVERHEAD_BYTES = 96

/** Large values have pages of their own; small ones share them. */
function storedBytesOf({ length }: Uint8Array): number {
  const isLarge = length > PAGE_BYTES / 2
  const valueBytes = isLarge ? Math.ceil((length + PAGE_HEADER_BYTES) / PAGE_BYTES) * PAGE_BYTES : length
  return valueBytes + ENTRY_OVERHEAD_BYTES
}

function openPositions(path: string): Positions {
  const folder = createFolder(path, openRecords, records => records.close())
  return {
    get: async topic => (await folder.current()).get(topic),
    update: (topic, change) => folder.use(records => records.update(topic, change)),
    close: folder.close,
  }
}

const openRecords = (path: string) =>
  logEnvironment(path, POSITIONS_MAP_BYTES, root =>
    toRecords(root, root.openDB<PositionRecord, LogTopic>('positions', { encoding: 'json' })),
  )

function toRecords(root: RootDatabase, records: Database<PositionRecord, LogTopic>) {
  return {
    get(topic: LogTopic): PositionRecord | null {
      root.resetReadTxn()
      return records.get(topic) ?? null
    },
    update: (topic: LogTopic, change: (record: PositionRecord | null) => PositionRecord | null) =>
      transact(root, () => {
        const stored = records.get(topic) ?? null
        const changed = change(stored)
        if (changed !== null) records.putSync(topic, changed)
        return changed ?? stored
      }),
    close: () => root.close(),
  }
}
