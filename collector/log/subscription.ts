/**
 * The loop of one named reader over one topic of the embedded log: claim, assign, deliver, commit; again after a
 * back-off when the reader rejects; from the begin, loudly, when the log is another one.
 *
 * The last to subscribe under a name has it: a stalled predecessor finds out at its next commit, is revoked, and
 * stands by until the successor has closed or died.
 */
import { AssertionError } from 'node:assert'
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Bell } from './bell.ts'
import type { LogLag, LogLoss, LogPartition, LogReader, LogTopic } from './call-log.ts'
import { BATCH_ENTRIES_MAX, type TopicBatch, type TopicLog } from './topic.ts'

/** How often an idle reader asks whether the name is still its own. */
const OWNER_POLL_MS = 1_000
const BACKOFF_MS_MIN = 100
const BACKOFF_MS_MAX = 10_000

/** Who reads under a name. */
export interface PositionOwner {
  id: string
  pid: number
  host: string
}

export interface PositionRecord {
  owner: PositionOwner | null
  /** The life of the log that `offset` belongs to, `null` before the first commit. */
  logId: string | null
  offset: number
}

/** The positions of one name, one record for each topic. */
export interface Positions {
  get(topic: LogTopic): Promise<PositionRecord | null>
  /** Replaces a record in one transaction, or leaves it where `change` answers `null`; resolves to what then stands. */
  update(
    topic: LogTopic,
    change: (record: PositionRecord | null) => PositionRecord | null,
  ): Promise<PositionRecord | null>
  close(): Promise<void>
}

export interface SubscriptionDeps {
  topic: LogTopic
  name: string
  reader: LogReader
  topicLog: TopicLog
  positions: Positions
  bell: Bell
  log: Logger
  onLoss: (loss: LogLoss) => void
  now: () => number
}

/** How far a reader is behind the end of a topic, whether or not it reads now. */
export async function topicLag(
  topic: LogTopic,
  { topicLog, positions, now }: Pick<SubscriptionDeps, 'topicLog' | 'positions' | 'now'>,
): Promise<LogLag> {
  const state = await topicLog.state()
  const position = await positions.get(topic)
  const isCurrent = position?.logId === state.logId
  const committed = isCurrent ? Math.max(position.offset, state.beginOffset) : state.beginOffset
  const entries = Math.max(0, state.endOffset - committed)
  const appendedAtMs = entries === 0 ? null : await topicLog.appendedAtMs(committed)
  return { topic, partition: 0, entries, ageMs: appendedAtMs === null ? 0 : Math.max(0, now() - appendedAtMs) }
}

/** What went on in one life of the log: from `assigned` to `revoked`. */
type LifeEnd = 'closed' | 'log_changed' | 'name_taken'

/** Begins at once. A failed assertion of the reader escapes as an unhandled rejection: it is a bug. */
export class TopicSubscription {
  readonly #deps: SubscriptionDeps
  readonly #log: Logger
  readonly #closing = new AbortController()
  readonly #owner: PositionOwner = { id: randomUUID(), pid: process.pid, host: hostname() }
  readonly #done: Promise<void>
  /** What was committed last: tells a wiped log from a new one even if the positions went with it. */
  #position: { logId: string; offset: number } | null = null
  #failures = 0

  constructor(deps: SubscriptionDeps) {
    this.#deps = deps
    this.#log = deps.log.child({ topic: deps.topic, reader: deps.name })
    this.#done = this.#run()
  }

  /** Resolves after the batch under way was handled and committed, and the name is free for others. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#done
  }

  get #isClosing(): boolean {
    return this.#closing.signal.aborted
  }

  async #run(): Promise<void> {
    let ended: LifeEnd | null = null
    while (ended !== 'closed') {
      try {
        if (ended === 'name_taken') await this.#standBy()
        ended = this.#isClosing ? 'closed' : await this.#readOneLife()
      } catch (error) {
        await this.#backOff(error, 'reading is interrupted')
        ended = this.#isClosing ? 'closed' : null
      }
    }
    const free = (record: PositionRecord | null) => (this.#isMine(record) ? { ...record, owner: null } : null)
    await this.#deps.positions.update(this.#deps.topic, free).catch((err: unknown) => {
      this.#log.warn({ err }, 'the position could not be released')
    })
  }

  async #readOneLife(): Promise<LifeEnd> {
    const { topic, topicLog, reader } = this.#deps
    const partition: LogPartition = { topic, logId: (await topicLog.state()).logId, partition: 0 }
    const committedOffset = await this.#claim(partition)
    const { logId, beginOffset, endOffset } = await topicLog.state()
    if (logId !== partition.logId) return 'log_changed'
    if (committedOffset !== null && committedOffset > endOffset) {
      return this.#renew(partition, committedOffset, endOffset, committedOffset)
    }
    const wanted = await reader.assigned({ ...partition, beginOffset, endOffset, committedOffset, partitions: 1 })
    try {
      if (wanted === 'restored') return await this.#renew(partition, endOffset, endOffset)
      const fromOffset = wanted ?? committedOffset ?? beginOffset
      // Compared with the end as the reader saw it: by now others may have appended beyond, in the place of what is gone.
      if (fromOffset > endOffset) return await this.#renew(partition, fromOffset, endOffset)
      return await this.#deliver(partition, fromOffset)
    } finally {
      await reader.revoked(partition).catch((err: unknown) => this.#log.warn({ err }, 'reader failed when revoked'))
    }
  }

  /** Makes the name ours and answers the offset committed in this life of the log, if any. */
  async #claim(partition: LogPartition): Promise<number | null> {
    const { topic, positions } = this.#deps
    const owner = this.#owner
    const record = await positions.update(topic, old => ({ logId: null, offset: 0, ...old, owner }))
    const position = record?.logId ? { logId: record.logId, offset: record.offset } : this.#position
    if (position === null || position.logId === partition.logId) {
      this.#position = position
      return position?.offset ?? null
    }
    const { logId, offset } = position
    this.#lose({ ...partition, logId, reason: 'other_log', fromOffset: offset, toOffset: offset })
    await positions.update(topic, old => (this.#isMine(old) ? { owner, logId: null, offset: 0 } : null))
    this.#position = null
    return null
  }

  async #deliver(partition: LogPartition, fromOffset: number): Promise<LifeEnd> {
    const { topicLog } = this.#deps
    let offset = fromOffset
    let reportedOffset = fromOffset
    let ownedAtMs = performance.now()
    while (!this.#isClosing) {
      const batch = await topicLog.read(offset, BATCH_ENTRIES_MAX)
      if (batch.logId !== partition.logId) return 'log_changed'
      if (offset > batch.endOffset) return this.#renew(partition, offset, batch.endOffset, offset)
      if (batch.nextOffset === offset) {
        if (performance.now() - ownedAtMs > OWNER_POLL_MS) {
          if (!this.#isMine(await this.#deps.positions.get(partition.topic))) return 'name_taken'
          ownedAtMs = performance.now()
        }
        await this.#deps.bell.next(partition.topic)
        continue
      }
      for (const loss of batch.lost) if (loss.toOffset > reportedOffset) this.#lose({ ...partition, ...loss })
      reportedOffset = batch.nextOffset
      if (batch.entries.length > 0 && !(await this.#handle(partition, batch))) {
        // A reader that is refused because another has its place must not go on trying for ever.
        if (!this.#isMine(await this.#deps.positions.get(partition.topic))) return 'name_taken'
        continue
      }
      offset = batch.nextOffset
      if (!(await this.#commit(partition, offset))) return 'name_taken'
    }
    return 'closed'
  }

  /** True when the reader has handled the batch; false after a back-off. */
  async #handle(partition: LogPartition, { entries, nextOffset }: TopicBatch): Promise<boolean> {
    try {
      await this.#deps.reader.handle({ ...partition, entries, nextOffset }, heartbeat)
      this.#failures = 0
      return true
    } catch (error) {
      await this.#backOff(error, 'reader rejected a batch')
      return false
    }
  }

  /** False when somebody else has the name now: then nothing is committed. */
  async #commit({ topic, logId }: LogPartition, offset: number): Promise<boolean> {
    const owner = this.#owner
    const replace = (record: PositionRecord | null) => (this.#isMine(record) ? { owner, logId, offset } : null)
    const isCommitted = this.#isMine(await this.#deps.positions.update(topic, replace))
    if (isCommitted) this.#position = { logId, offset }
    return isCommitted
  }

  /**
   * The log ended below what was handled already: its next entries would take offsets that are in use. Where that was seen
   * just now, it must still end `shortOf` that.
   */
  async #renew(
    partition: LogPartition,
    offset: number,
    endOffset: number,
    shortOf = Number.POSITIVE_INFINITY,
  ): Promise<LifeEnd> {
    if (await this.#deps.topicLog.renew(partition.logId, shortOf))
      this.#lose({ ...partition, reason: 'beyond_end', fromOffset: endOffset, toOffset: offset })
    return 'log_changed'
  }

  /** Waits until whoever took the name has closed or died. A process of another host cannot be asked. */
  async #standBy(): Promise<void> {
    this.#log.warn('another process reads under this name; standing by')
    while (!this.#isClosing && isAlive(await this.#deps.positions.get(this.#deps.topic))) {
      await this.#pause(OWNER_POLL_MS)
    }
  }

  #isMine(record: PositionRecord | null): record is PositionRecord {
    return record?.owner?.id === this.#owner.id
  }

  #lose(loss: Omit<LogLoss, 'reader'>): void {
    this.#deps.onLoss({ ...loss, reader: this.#deps.name })
  }

  async #backOff(error: unknown, message: string): Promise<void> {
    if (error instanceof AssertionError) throw error
    this.#failures++
    const ceilingMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (this.#failures - 1))
    const retryInMs = Math.round(ceilingMs * (0.5 + Math.random() / 2))
    this.#log.warn({ err: error, failures: this.#failures, retryInMs }, message)
    await this.#pause(retryInMs)
  }

  /** Resolves early when the subscription is closed. */
  #pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }
}

/** The embedded log has no session that could expire. */
async function heartbeat(): Promise<void> {}

function isAlive(record: PositionRecord | null): boolean {
  if (record === null || record.owner === null) return false
  if (record.owner.host !== hostname()) return true
  try {
    process.kill(record.owner.pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
