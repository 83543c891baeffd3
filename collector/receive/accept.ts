/** The one path of every way in: decode, normalize, append, and only then say what was accepted. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CallRecord, Rejection, RejectionReason } from '../call-record.ts'
import type { CallLog, LogEntry, LogTopic } from '../log/call-log.ts'
import { isRejection, type Normalizer } from '../normalize/normalize.ts'
import type { Delivery } from '../normalize/record.ts'
import type { RawBatch } from './raw-batch.ts'

/** Calls that are handled without giving way to other requests: ordinary ones take some 5 ms, large ones longer. */
const SLICE_CALLS = 1000
const SLICE_MS = 10
/** Appends of one batch that wait for the disk; the log refuses to hold more than it can, whoever's they are. */
const APPENDS_MAX = 4

export interface Rejected {
  /** Position in the batch. */
  index: number
  reason: RejectionReason
  /** Names the field and its value, nothing secret in it. */
  message: string
}

export interface Acceptance {
  accepted: number
  /** Inputs that are no calls and need not be. */
  skipped: number
  rejected: Rejected[]
}

/** What a way in knows of a batch beside the inputs. */
export type Origin = Omit<Delivery, 'inputAt' | 'fileStem' | 'columns' | 'isContextCut'>

/**
 * Resolves when every call and every rejection of the batch would survive a crash. Rejects with the log's `LogError`:
 * then any part of the batch may have been appended, and sending all of it again is right.
 */
export async function acceptBatch(
  { log, normalizer }: { log: Pick<CallLog, 'append'>; normalizer: Normalizer },
  batch: RawBatch,
  origin: Origin,
): Promise<Acceptance> {
  const { fileStem } = batch.context
  const columns = keptColumns(batch.context.columns)
  const isContextCut = columns === null && batch.context.columns !== null
  const delivery: Delivery = { ...origin, fileStem, columns, isContextCut, inputAt: keptInputs(batch) }
  const appends: Promise<Failure | null>[] = []
  const append = async (topic: LogTopic, results: readonly (CallRecord | Rejection)[]) => {
    if (results.length === 0) return
    await appends.at(-APPENDS_MAX)
    appends.push(outcomeOf(log.append(topic, results.map(toEntry))))
  }
  const rejected: Rejected[] = []
  let skipped = 0
  for (let begin = 0; begin < batch.size; ) {
    if (begin > 0) await nextTurn()
    const end = Math.min(begin + SLICE_CALLS, batch.size)
    const untilMs = performance.now() + SLICE_MS
    const records: CallRecord[] = []
    const refused: Rejection[] = []
    for (; begin < end && performance.now() < untilMs; begin++) {
      const position = begin
      const decoded = batch.decodedAt(position)
      if (decoded.kind === 'skip') {
        skipped++
        continue
      }
      const result = normalizer.normalize(decoded, delivery, position)
      if (isRejection(result)) {
        refused.push(result)
        rejected.push({ index: position, reason: result.reason, message: result.message })
      } else records.push(result)
    }
    await append('calls', records)
    await append('rejections', refused)
  }
  // All of them, even when one fails: nothing may be under way when the sender is answered.
  const failure = (await Promise.all(appends)).find(outcome => outcome !== null)
  if (failure !== undefined && failure !== null) throw failure.error
  return { accepted: batch.size - rejected.length - skipped, skipped, rejected }
}

/** Every rejection keeps the names of its columns: those of a header as long as a body would make it many times its size. */
const COLUMNS_CHARACTERS_MAX = 8192

const keptColumns = (columns: readonly string[] | null) =>
  columns !== null && columns.join().length <= COLUMNS_CHARACTERS_MAX ? columns : null

/** Of all inputs that rejections of one batch keep: those of a document may hold the same part, each of them all of it. */
const KEPT_CHARACTERS_MAX = 64 * 2 ** 20

function keptInputs(batch: RawBatch): Delivery['inputAt'] {
  let characters = 0
  return position => {
    if (characters > KEPT_CHARACTERS_MAX) return null
    const input = batch.inputAt(position)
    characters += input.length
    return input
  }
}

export const toEntry = (value: CallRecord | Rejection): LogEntry => ({
  key: value.callId,
  value: JSON.stringify(value),
})

/** How many were rejected for which reason. */
export function reasonCounts(rejected: readonly Rejected[]): Map<RejectionReason, number> {
  const counts = new Map<RejectionReason, number>()
  for (const { reason } of rejected) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  return counts
}

interface Failure {
  error: unknown
}

const outcomeOf = (append: Promise<void>): Promise<Failure | null> =>
  append.then(
    () => null,
    (error: unknown) => ({ error }),
  )
