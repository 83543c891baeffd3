/**
 * Writes down in the control log what holds, when much has changed since that was done last: whoever starts begins there,
 * and the writer of the store drops what is before. Several may do so at once; each snapshot stands for itself.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { CallLog } from '../../collector/log/call-log.ts'
import { toSnapshotPieces } from '../../collector/log/control-snapshot.ts'
import type { Fold } from './fold.ts'

/** Entries of the log behind the last snapshot from which on another one is worth it. */
const ENTRIES_MIN = 1_000
/** And this many for each one that the snapshot will hold, so that little of what is written is snapshots. */
const ENTRIES_PER_HELD = 2
const CHECK_MS = 5_000
const KEY = 'snapshot'

export interface SnapshotWriting {
  /** Resolves when nothing is written any more; a snapshot under way remains incomplete, and harms nobody. */
  stop(): Promise<void>
}

export interface SnapshotWritingDeps {
  fold: Fold
  log: Pick<CallLog, 'append' | 'partitions'>
  logger: Logger
  checkMs?: number
}

/** Begins at once, and tries again later what fails. */
export function startSnapshotWriting(deps: SnapshotWritingDeps): SnapshotWriting {
  const { logger, checkMs = CHECK_MS } = deps
  const stopping = new AbortController()
  let failure: string | null = null
  const run = async () => {
    while (!stopping.signal.aborted) {
      try {
        await writeWhenDue(deps, stopping.signal)
        failure = null
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        if (reason !== failure) logger.warn({ reason }, 'no snapshot is written to the control log: it grows meanwhile')
        failure = reason
      }
      await sleep(checkMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }
  const done = run()
  return {
    stop() {
      stopping.abort()
      return done
    },
  }
}

async function writeWhenDue({ fold, log, logger }: SnapshotWritingDeps, signal: AbortSignal): Promise<void> {
  await fold.refresh()
  const [partition] = await log.partitions('control')
  const unavailable = fold.unavailable()
  if (unavailable !== null) throw new Error(unavailable)
  const { logId, offset, snapshotOffset, isWhole } = fold.position()
  // Another log, or one that was restored: what is folded is not what it says.
  if (partition?.logId !== logId || partition.endOffset < offset) return
  const isLong = offset - snapshotOffset > Math.max(ENTRIES_MIN, ENTRIES_PER_HELD * fold.count())
  // Or somebody else dropped what no snapshot holds: nobody could start any more.
  if (!isLong && partition.beginOffset <= snapshotOffset) return
  if (!isWhole) throw new Error('a later version has written changes that this one cannot read: update all roles')
  const held = fold.entries()
  const pieces = await toSnapshotPieces({ asOfOffset: offset, held })
  for (const value of pieces) {
    if (signal.aborted) return
    await log.append('control', [{ key: KEY, value }])
  }
  const written = { asOfOffset: offset, entries: held.length, pieces: pieces.length }
  logger.info(written, 'a snapshot was written to the control log')
}
