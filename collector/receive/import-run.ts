/** The import of one file: block by block through the path of every call, the position remembered behind what is durable. */
import type { Logger } from 'pino'
import type { RejectionReason } from '../call-record.ts'
import { callsReceived, deliveryRefused } from '../events.ts'
import type { CallLog } from '../log/call-log.ts'
import type { Normalizer } from '../normalize/normalize.ts'
import { type Acceptance, acceptBatch, reasonCounts } from './accept.ts'
import type { LineDecoder } from './decode-lines.ts'
import { type ImportState, saveImportState } from './import-state.ts'
import { type Patience, patiently } from './patience.ts'
import { type LineBatch, lineBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'
import { blocksOf, type LineBlock, type SourceFile } from './source-file.ts'

const SAVE_EVERY_MS = 500
/** How long a log may stay full or away before the import gives up. */
const PATIENCE_MS = 120_000

export interface ImportProgress {
  path: string
  /** Files are read once before they are imported when their calls must be moved in time. */
  phase: 'looking for the last call' | 'importing'
  /** On disk, of all files together. */
  bytesRead: number
  bytes: number
  /** Of all files in this run. */
  accepted: number
  rejected: number
}

export interface ImportRejection {
  path: string
  lineNumber: number
  reason: RejectionReason
  /** Names field and value, nothing secret in it. */
  message: string
}

export interface ImportReport {
  path: string
  /** In this run. */
  accepted: number
  rejected: Partial<Record<RejectionReason, number>>
  /** Calls and rejections that earlier runs had imported. */
  before: number
  /** Of these the rejections. */
  rejectedBefore: number
  shiftMs: number
  /** False when the run was stopped; the same command goes on. */
  isComplete: boolean
}

export interface ImportFileDeps {
  log: CallLog
  normalizer: Normalizer
  /** Folder of the remembered states. */
  dir: string
  logger: Logger
  now: () => number
  /** How far this file came in this run. */
  onBlock: (come: Pick<ImportProgress, 'bytesRead' | 'accepted' | 'rejected'>) => void
  onRejection: (rejection: ImportRejection) => void
  /** Appending must wait: the log is full or away. */
  onWait: (reason: string) => void
  /** Stops between two blocks. */
  signal: AbortSignal
}

/** A file that the dialect of its origin can read. */
export interface ImportFile {
  source: SourceFile
  origin: CallSource
  decoder: LineDecoder
}

/** Imports what stands behind `begin`. Rejects with what reading or appending rejects with. */
export async function importFile(file: ImportFile, begin: ImportState, deps: ImportFileDeps): Promise<ImportReport> {
  const { source, origin, decoder } = file
  const { dialect, gateway, tenant } = origin
  const tally = createTally(file, begin, deps)
  if (source.fingerprint === null) return tally.report(true)
  const keyPrefix = `file ${source.fingerprint}`
  const log = patientLog(deps)
  const from = begin.position.offset > source.begin.offset ? begin.position : source.begin
  for await (const block of blocksOf(source.path, dialect, from)) {
    if (deps.signal.aborted) break
    const batch = lineBatch(block.lines, decoder)
    // One block after the other, so that the log has the order of the file.
    const acceptance = await acceptBatch({ log, normalizer: deps.normalizer }, batch, {
      source: origin.name,
      dialect: dialect.name,
      arrivedAtMs: deps.now(),
      gateway,
      tenant,
      restriction: null,
      shiftMs: begin.shiftMs,
      keyAt: position => keyIn(batch, position, keyPrefix),
    })
    await tally.finish(block, batch, acceptance)
  }
  await tally.save()
  return tally.report(!deps.signal.aborted)
}

/** Names an input of a line by the file's own first line, by where it stands, and by what it says. */
export function keyIn(batch: LineBatch, position: number, prefix: string): string {
  const part = batch.partAt(position)
  return `${prefix} ${batch.lineAt(position).offset} ${part === 0 ? '' : `${part} `}${batch.inputAt(position)}`
}

/** What came of a file so far, and where the next run would begin. */
function createTally({ source, origin }: ImportFile, begin: ImportState, deps: ImportFileDeps) {
  const state = { ...begin }
  const reasons = new Map<RejectionReason, number>()
  let savedAtMs = deps.now()
  const save = async () => {
    if (source.fingerprint !== null) await saveImportState(deps.dir, source.fingerprint, state)
    savedAtMs = deps.now()
  }
  const counts = () => ({ accepted: state.accepted - begin.accepted, rejected: state.rejected - begin.rejected })
  return {
    save,
    /** To be called when the block is durable; remembers it now and then. */
    async finish(block: LineBlock, batch: LineBatch, { accepted, rejected }: Acceptance): Promise<void> {
      const rejectedByReason = reasonCounts(rejected)
      callsReceived(deps.logger, {
        receiver: 'file',
        dialect: origin.dialect.name,
        accepted,
        rejected: rejectedByReason,
      })
      for (const [reason, count] of rejectedByReason) reasons.set(reason, (reasons.get(reason) ?? 0) + count)
      for (const { index, reason, message } of rejected) {
        deps.onRejection({ path: source.path, lineNumber: batch.lineAt(index).number, reason, message })
      }
      // Half a line is no call yet: the next run finds it whole.
      if (!block.isOpen || rejected.length === 0) state.position = block.next
      state.accepted += accepted
      state.rejected += rejected.length
      deps.onBlock({ bytesRead: block.bytesRead, ...counts() })
      if (deps.now() - savedAtMs >= SAVE_EVERY_MS) await save()
    },
    report: (isComplete: boolean): ImportReport => ({
      path: source.path,
      accepted: counts().accepted,
      rejected: Object.fromEntries(reasons),
      before: begin.accepted + begin.rejected,
      rejectedBefore: begin.rejected,
      shiftMs: begin.shiftMs,
      isComplete,
    }),
  }
}

/** The log, waited for while it is full or away: nobody will send this file again by itself. */
export function patientLog({
  log,
  logger,
  onWait,
  signal,
}: Pick<ImportFileDeps, 'log' | 'logger' | 'onWait' | 'signal'>): Pick<CallLog, 'append'> {
  const patience: Patience = {
    patienceMs: PATIENCE_MS,
    signal,
    onWait(reason) {
      deliveryRefused(logger, { receiver: 'file', reason })
      onWait(reason)
    },
  }
  return { append: (topic, entries) => patiently(() => log.append(topic, entries), patience) }
}
