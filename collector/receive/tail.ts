/**
 * Files that gateways go on writing, found by their paths again and again, each read to its end through rotations of any
 * kind. What is durable is remembered now and then: whatever is read twice after a crash has the same ids.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DialectError } from '../normalize/draft.ts'
import type { Acceptance } from './accept.ts'
import { FollowedFile, lastLineBegin } from './followed-file.ts'
import { foundFiles, identityOf } from './found-files.ts'
import { keyIn } from './import-run.ts'
import { logIdOf } from './import-state.ts'
import type { FileReceive } from './listen-options.ts'
import { inOne, type ListenDeps, takePatiently } from './listening.ts'
import type { LineBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'
import {
  findPosition,
  keptPositions,
  loadTailState,
  saveTailState,
  type TailPosition,
  type TailState,
} from './tail-positions.ts'

/** How soon new lines are seen. */
const POLL_MS = 250
/** How soon new files are. */
const SCAN_MS = 1000
const SAVE_EVERY_MS = 500
/** For each position: they are written all together, a month of them, and some 400 bytes each. */
const SAVE_MS_PER_POSITION = 2
/** Files of a source that are held open. */
const FILES_MAX = 1000
/**
 * A file that no path leads to any more may still be written by whoever has it open, until it was quiet for so long. From
 * then on a file may also have to make room for others, to be opened again when it has changed.
 */
const QUIET_MS = 600_000

export interface TailDeps extends ListenDeps {
  /** Of a source, held open at once. */
  filesMax?: number
  /** Hears of every stretch of a file that is durable. */
  onTaken?: (path: string, batch: LineBatch, acceptance: Acceptance) => void
}

/** Follows the files that the paths lead to: the `Listen` of sources whose calls lie in files. */
export async function followFiles(options: FileReceive, source: CallSource, deps: TailDeps): Promise<void> {
  const path = join(deps.dir, `${source.name}.json`)
  const [logId, state] = [await logIdOf(deps.log), await loadTailState(path)]
  // What another log held may be lost with it; what was never wanted is not wanted now.
  const isKept = state !== null && (state.logId === logId || options.from === 'end')
  const tail = new Tail(options, source, deps, {
    path,
    isFirst: state === null,
    state: { logId, positions: isKept ? state.positions : [] },
  })
  try {
    while (!deps.signal.aborted) {
      if (await tail.advance()) continue
      await sleep(POLL_MS, undefined, { signal: deps.signal }).catch(() => undefined)
    }
  } finally {
    await tail.close()
  }
}

interface Remembered {
  path: string
  /** Nothing is remembered: this is the very first start. */
  isFirst: boolean
  state: TailState
}

interface Followed {
  file: FollowedFile
  /** When it last grew, or a path last led to it. */
  aliveAtMs: number
  /** By the file system's clock, when a path last led to it. */
  writtenAtMs: number
  hasChanged: boolean
  /** Of the position that is remembered of what it holds now. */
  key: string | null
  /** Why it cannot be read. */
  problem: string | null
}

/** A file that was read and closed. */
interface Resting {
  /** What it was like then. */
  state: string
  key: string | null
}

/** Recordings that begin differently have a position each, also when they share a file one after the other. */
const keyOf = ({ identity, fingerprint }: Pick<TailPosition, 'identity' | 'fingerprint'>) =>
  `${identity} ${fingerprint}`
const byKey = (positions: readonly TailPosition[]) => new Map(positions.map(position => [keyOf(position), position]))

class Tail {
  readonly #options: FileReceive
  readonly #source: CallSource
  readonly #deps: TailDeps
  readonly #statePath: string
  readonly #logId: string
  #positions: Map<string, TailPosition>
  readonly #files = new Map<string, Followed>()
  #resting = new Map<string, Resting>()
  #isFromEnd: boolean
  /** Found at the very first start, when only what is new was wanted, and not opened yet, with the bytes that were there. */
  #toSkip = new Map<string, number>()
  /** By a clock that nobody sets back. */
  #scannedAtMs = Number.NEGATIVE_INFINITY
  #savedAtMs = Number.NEGATIVE_INFINITY
  /** That we were here is remembered even if there is nothing to read yet. */
  #hasChanged = true

  constructor(options: FileReceive, source: CallSource, deps: TailDeps, { path, isFirst, state }: Remembered) {
    this.#options = options
    this.#source = source
    this.#deps = deps
    this.#statePath = path
    this.#logId = state.logId
    this.#positions = byKey(state.positions)
    this.#isFromEnd = isFirst && options.from === 'end'
  }

  /** Reads a chunk of every file that has grown. True when there may be more. */
  async advance(): Promise<boolean> {
    const { signal } = this.#deps
    if (performance.now() - this.#scannedAtMs >= SCAN_MS) await this.#scan()
    let isBusy = false
    for (const followed of this.#files.values()) {
      if (signal.aborted) break
      isBusy = (await this.#advanceFile(followed)) || isBusy
    }
    const everyMs = Math.max(SAVE_EVERY_MS, SAVE_MS_PER_POSITION * this.#positions.size)
    if (performance.now() - this.#savedAtMs >= everyMs && this.#hasChanged) await this.#save()
    return isBusy
  }

  async close(): Promise<void> {
    try {
      await this.#save()
    } finally {
      for (const { file } of this.#files.values()) await file.close()
    }
  }

  async #advanceFile(followed: Followed): Promise<boolean> {
    try {
      const hasMore = await followed.file.advance()
      if (!followed.file.isLeft) followed.problem = null
      return hasMore
    } catch (error) {
      if (!(error instanceof DialectError)) throw error
      followed.problem = `${followed.file.path}: ${error.message}`
      return false
    }
  }

  async #scan(): Promise<void> {
    const { now, report, reportWaiting, filesMax = FILES_MAX } = this.#deps
    this.#scannedAtMs = performance.now()
    const problems: string[] = []
    const found = await foundFiles(this.#options.paths)
    const paths = new Set(found.map(({ identity }) => identity))
    this.#resting = new Map([...this.#resting].filter(([identity]) => paths.has(identity)))
    this.#toSkip = this.#isFromEnd
      ? new Map(found.map(({ identity, bytes }) => [identity, bytes]))
      : new Map([...this.#toSkip].filter(([identity]) => paths.has(identity)))
    this.#isFromEnd = false
    const room = this.#makeRoom()
    for (const { path, identity, state, mtimeMs } of found) {
      const known = this.#files.get(identity)
      if (known !== undefined) Object.assign(known, { aliveAtMs: now(), writtenAtMs: mtimeMs })
      else if (this.#resting.get(identity)?.state === state) continue
      else if (this.#files.size >= filesMax && (await room.next()).done)
        problems.push(`${path} waits: there are more than ${filesMax} files`)
      else await this.#open(path, mtimeMs).catch((error: Error) => problems.push(error.message))
    }
    await this.#closeQuiet()
    for (const { problem } of this.#files.values()) if (problem !== null) problems.push(problem)
    if (problems.length > 0) report(inOne(problems))
    else if (this.#files.size === 0) reportWaiting(`No file is there: ${this.#options.paths.join(', ')}`)
    else report(null)
  }

  async #open(path: string, mtimeMs: number): Promise<void> {
    const handle = await open(path)
    try {
      const identity = identityOf(await handle.stat({ bigint: true }))
      // Renamed since it was found.
      if (this.#files.has(identity)) return await handle.close()
      const begin = await lastLineBegin(handle, this.#toSkip.get(identity) ?? 0)
      this.#toSkip.delete(identity)
      const file = new FollowedFile(
        handle,
        { path, identity },
        {
          ...{ source: this.#source, begin },
          find: (opened, fingerprint) => this.#find(followed, opened, fingerprint),
          take: (batch, keyPrefix) => this.#take(followed, batch, keyPrefix),
          onCompressed: () =>
            this.#deps.logger.warn({ source: this.#source.name, path }, 'a compressed file is not followed: import it'),
        },
      )
      const times = { aliveAtMs: this.#deps.now(), writtenAtMs: mtimeMs }
      const followed: Followed = { file, ...times, hasChanged: false, key: null, problem: null }
      this.#files.set(identity, followed)
      this.#resting.delete(identity)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  #find(followed: Followed, file: FileHandle, fingerprint: string): Promise<TailPosition | null> {
    this.#changed(followed)
    return findPosition(this.#positions.values(), file, { identity: followed.file.identity, fingerprint })
  }

  async #take(followed: Followed, batch: LineBatch, keyPrefix: string): Promise<void> {
    const acceptance = await takePatiently(this.#deps, this.#source, batch, {
      receiver: 'file',
      keyAt: position => keyIn(batch, position, keyPrefix),
    })
    this.#changed(followed)
    this.#deps.onTaken?.(followed.file.path, batch, acceptance)
  }

  #changed(followed: Followed): void {
    this.#hasChanged = true
    followed.hasChanged = true
    followed.aliveAtMs = this.#deps.now()
  }

  async #closeQuiet(): Promise<void> {
    for (const [identity, followed] of this.#files) {
      if (!this.#isQuiet(followed.aliveAtMs)) continue
      await followed.file.finish()
      await this.#close(identity, followed)
    }
  }

  /**
   * Closes files that were quiet for long enough and of which all is durable, one whenever asked, that first that was quiet
   * for longest. Each is looked at once: nothing is read meanwhile.
   */
  async *#makeRoom(): AsyncGenerator<void, void> {
    const quiet = [...this.#files].filter(
      ([, { writtenAtMs, problem }]) => this.#isQuiet(writtenAtMs) && problem === null,
    )
    for (const [identity, followed] of quiet.sort(([, one], [, other]) => one.writtenAtMs - other.writtenAtMs)) {
      const state = await followed.file.restingState()
      if (state === null) continue
      await this.#close(identity, followed)
      this.#resting.set(identity, { state, key: followed.key })
      yield
    }
  }

  #isQuiet(sinceMs: number): boolean {
    return this.#deps.now() - sinceMs >= QUIET_MS
  }

  async #close(identity: string, followed: Followed): Promise<void> {
    this.#remember(followed)
    await followed.file.close()
    this.#files.delete(identity)
  }

  #remember(followed: Followed): void {
    const position = followed.hasChanged ? followed.file.position() : null
    if (position !== null) {
      followed.key = keyOf(position)
      followed.hasChanged = false
      this.#positions.set(followed.key, { ...position, seenAtMs: 0 })
    }
    this.#seen(followed.key)
  }

  #seen(key: string | null): void {
    const remembered = key === null ? undefined : this.#positions.get(key)
    if (remembered !== undefined) remembered.seenAtMs = this.#deps.now()
  }

  async #save(): Promise<void> {
    for (const followed of this.#files.values()) this.#remember(followed)
    for (const { key } of this.#resting.values()) this.#seen(key)
    const positions = keptPositions(this.#positions.values(), this.#deps.now())
    this.#positions = byKey(positions)
    this.#hasChanged = false
    this.#savedAtMs = performance.now()
    await saveTailState(this.#statePath, { logId: this.#logId, positions })
  }
}
