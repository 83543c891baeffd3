/**
 * One topic of the embedded log: group commit, bounded reading, trimming. Knows nothing of LMDB; `embedded.ts` gives
 * it the environment.
 */
import { type AppendQueue, createAppendQueue, type EncodedBlock } from './append-queue.ts'
import { decodeBlock } from './block.ts'
import { type LogBatch, LogError, type LogErrorCode, type LogLoss } from './call-log.ts'
import type { Folder } from './folder.ts'

/** Most entries of one delivery. */
export const BATCH_ENTRIES_MAX = 20_000
/** A delivery is closed before its values exceed this many characters, but holds one block at least. */
const BATCH_CHARACTERS_MAX = 8 * 2 ** 20
/** Blocks that one step of reading or trimming looks at. */
const KEYS_MAX = 256
/** How long a failed write is a reason to refuse; after that the next append is the probe. */
const FAILURE_MS = 2_000

/** A commit that takes longer waits for another process, stopped with the lock in its hands, or for a dying disk. */
const STALLED_MS = 10_000
/** Left free on the disk, because trimming and committing positions take pages too. */
const DISK_FREE_BYTES_MIN = 16 * 2 ** 20
/** Above this part of its bytes a topic gives up handled entries before their time. */
const ROOMY_SHARE = 0.8

/** What a topic says of itself, all of one moment. */
interface TopicState {
  logId: string
  beginOffset: number
  endOffset: number
  storedBytes: number
}

/** Stands for one block without its content; everything but reading needs only this. */
export interface BlockKey {
  firstOffset: number
  nextOffset: number
  appendedAtMs: number
  storedBytes: number
  characters: number
}

/** A topic's folder while it is open. What is not a promise is read from mapped pages, in microseconds. */
export interface BlockEnvironment {
  /** Also begins a new view: `keys` and `block` in the same turn of the event loop see this state. */
  state(): TopicState
  /** Keys of the blocks that hold `fromOffset` and what follows it, in order. */
  keys(fromOffset: number, blocksMax: number): BlockKey[]
  block(key: BlockKey): Uint8Array | undefined
  /** Durable when it resolves; all blocks or none. Throws `LOG_FULL` above `storedBytesMax`. */
  append(blocks: readonly EncodedBlock[], appendedAtMs: number, storedBytesMax: number): Promise<void>
  remove(keys: readonly BlockKey[]): Promise<void>
  /**
   * Begins a new life of the log with the same entries, unless somebody else was faster. Answers false, and does not, when
   * this one reaches to `shortOf` after all: who opens the log hides the last commit from others for a moment.
   */
  renew(logId: string, shortOf: number): Promise<boolean>
}

export interface TopicBatch extends Pick<LogBatch, 'entries' | 'nextOffset'> {
  logId: string
  endOffset: number
  lost: Pick<LogLoss, 'reason' | 'fromOffset' | 'toOffset'>[]
}

export interface TopicLog {
  append: AppendQueue['append']
  state(): Promise<TopicState>
  /** What is there from `fromOffset` on, bounded; never waits for more. */
  read(fromOffset: number, entriesMax: number): Promise<TopicBatch>
  /** When the entry at `offset`, or the first one after it, was appended (Unix ms); `null` at the end. */
  appendedAtMs(offset: number): Promise<number | null>
  /** Drops blocks that are wholly below `belowOffset`: those appended before `beforeMs`, and where room is short others. */
  trim(logId: string, belowOffset: number, beforeMs: number): Promise<void>
  /** As that of the environment. */
  renew: BlockEnvironment['renew']
  /** Why an append would be refused now, or `null`. */
  unavailable(): string | null
  close(): Promise<void>
}

export interface TopicOptions {
  storedBytesMax: number
  now: () => number
  /** Called after each append of this process. */
  onAppended: () => void
}

export function createTopicLog(folder: Folder<BlockEnvironment>, options: TopicOptions): TopicLog {
  const writer = createWriter(folder, options)
  const queue = createAppendQueue(async blocks => {
    await writer.write(blocks)
    options.onAppended()
  })

  return {
    append: queue.append,
    state: async () => (await folder.current()).state(),
    read: async (fromOffset, entriesMax) => readBatch(await folder.current(), fromOffset, entriesMax),
    async appendedAtMs(offset) {
      const environment = await folder.current()
      environment.state()
      return environment.keys(offset, 1)[0]?.appendedAtMs ?? null
    },
    async trim(logId, belowOffset, beforeMs) {
      const trimSome = async (environment: BlockEnvironment): Promise<boolean> => {
        const state = environment.state()
        if (state.logId !== logId) return false
        const keys = environment.keys(0, KEYS_MAX)
        let excessBytes = state.storedBytes - ROOMY_SHARE * options.storedBytesMax
        const kept = keys.findIndex(key => {
          const isKept = key.nextOffset > belowOffset || (key.appendedAtMs >= beforeMs && excessBytes <= 0)
          excessBytes -= key.storedBytes
          return isKept
        })
        const dropped = kept === -1 ? keys : keys.slice(0, kept)
        if (dropped.length > 0) await environment.remove(dropped)
        return dropped.length === KEYS_MAX
      }
      while (await folder.use(trimSome));
    },
    renew: (logId, shortOf) => folder.use(environment => environment.renew(logId, shortOf)),
    unavailable: writer.unavailable,
    async close() {
      await queue.close()
      await folder.close()
    },
  }
}

/** Writes groups and remembers why the last one failed. */
function createWriter(folder: Folder<BlockEnvironment>, options: TopicOptions) {
  const { storedBytesMax, now } = options
  let failure: { message: string; atMs: number } | null = null
  /** Size of the group that did not fit; while it still would not, the log is full. */
  let refusedBytes = 0
  let writingSinceMs = Number.POSITIVE_INFINITY

  const fail = (code: LogErrorCode, message: string, cause?: unknown): LogError => {
    failure = { message, atMs: performance.now() }
    return new LogError(code, message, { cause })
  }

  return {
    async write(blocks: EncodedBlock[]): Promise<void> {
      const bytes = blocks.reduce((sum, block) => sum + block.bytes.length, 0)
      writingSinceMs = performance.now()
      try {
        await folder.use(async environment => {
          if ((await folder.freeBytes()) < bytes + DISK_FREE_BYTES_MIN) throw fail('LOG_FULL', 'The disk is full')
          await environment.append(blocks, now(), storedBytesMax)
          if (folder.opened() !== environment) throw new Error('The folder was removed while it was written')
        })
        failure = null
        refusedBytes = 0
      } catch (error) {
        if (error instanceof LogError && error.code === 'LOG_FULL') {
          refusedBytes = bytes
          throw error
        }
        // Whatever the environment has come to, a fresh one is sound.
        await folder.reset()
        throw fail('LOG_UNAVAILABLE', 'The log could not be written', error)
      } finally {
        writingSinceMs = Number.POSITIVE_INFINITY
      }
    },
    unavailable(): string | null {
      const nowMs = performance.now()
      if (nowMs - writingSinceMs > STALLED_MS) return 'A write to the log does not come to its end'
      if (failure !== null && nowMs - failure.atMs < FAILURE_MS) return failure.message
      if (refusedBytes === 0) return null
      const storedBytes = folder.opened()?.state().storedBytes ?? 0
      return storedBytes + refusedBytes > storedBytesMax ? 'The log is full' : null
    },
  }
}

async function readBatch(environment: BlockEnvironment, fromOffset: number, entriesMax: number): Promise<TopicBatch> {
  const { logId, beginOffset, endOffset } = environment.state()
  const batch: TopicBatch = { logId, endOffset, entries: [], nextOffset: Math.max(fromOffset, beginOffset), lost: [] }
  if (fromOffset < beginOffset) batch.lost.push({ reason: 'trimmed', fromOffset, toOffset: beginOffset })
  const blocks = chooseBlocks(environment, batch.nextOffset, entriesMax)
  const decoded = await Promise.all(
    blocks.map(async ({ key, bytes }) => ({ key, values: await decodeOrNull(key, bytes) })),
  )
  for (const { key, values } of decoded) {
    if (values === null) {
      batch.lost.push({ reason: 'unreadable', fromOffset: batch.nextOffset, toOffset: key.nextOffset })
      batch.nextOffset = key.nextOffset
      continue
    }
    const until = Math.min(key.nextOffset, batch.nextOffset + entriesMax - batch.entries.length)
    for (const value of values.slice(batch.nextOffset - key.firstOffset, until - key.firstOffset)) {
      batch.entries.push({ offset: batch.nextOffset++, value })
    }
  }
  return batch
}

/** Copies the blocks while the view still stands; decoding them takes longer. */
function chooseBlocks(environment: BlockEnvironment, fromOffset: number, entriesMax: number) {
  const blocks: { key: BlockKey; bytes: Uint8Array | undefined }[] = []
  let characters = 0
  for (const key of environment.keys(fromOffset, KEYS_MAX)) {
    characters += key.characters
    if (blocks.length > 0 && characters > BATCH_CHARACTERS_MAX) break
    blocks.push({ key, bytes: environment.block(key) })
    if (key.nextOffset - fromOffset >= entriesMax) break
  }
  return blocks
}

async function decodeOrNull(key: BlockKey, bytes: Uint8Array | undefined): Promise<string[] | null> {
  try {
    const values = bytes === undefined ? [] : await decodeBlock(bytes)
    return values.length === key.nextOffset - key.firstOffset ? values : null
  } catch (error) {
    if (error instanceof LogError && error.code === 'LOG_CORRUPT') return null
    throw error
  }
}
