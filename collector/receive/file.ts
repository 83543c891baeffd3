/**
 * Importing recorded files: what is remembered of each, by how much their calls move in time, and then one after the
 * other. An interrupted import goes on where it stopped; whatever is read twice has the same ids.
 */
import { hash } from 'node:crypto'
import type { Dialect } from '../normalize/draft.ts'
import { createLineDecoder } from './decode-lines.ts'
import {
  type ImportFile,
  type ImportFileDeps,
  type ImportProgress,
  type ImportReport,
  importFile,
} from './import-run.ts'
import { commonShiftMs, lastStartedAtMs } from './import-shift.ts'
import { type ImportState, loadImportState, logIdOf, saveImportState } from './import-state.ts'
import type { CallSource } from './source.ts'
import { inspectFile, type SourceFile, startsWith } from './source-file.ts'

export interface ImportRequest {
  paths: readonly string[]
  /** What wrote the files. */
  origin: CallSource
  /** Where the last call of all files together shall be, `null` to keep the recorded times. */
  shiftToMs: number | null
  /** Reads everything again, whatever is remembered; nothing is stored twice all the same. */
  isFromStart: boolean
}

export interface ImportDeps extends Omit<ImportFileDeps, 'onBlock'> {
  onProgress: (progress: ImportProgress) => void
}

/**
 * Imports the files in order. Throws `SourceFileError`, `DialectError`, `ShiftError`, `ImportStateError`, and the log's
 * `LogError` when appending is impossible for two minutes; what came before is durable and remembered.
 */
export async function importFiles(request: ImportRequest, deps: ImportDeps): Promise<ImportReport[]> {
  const { origin } = request
  const { dialect, timezone } = origin
  const files: ImportFile[] = []
  for (const path of request.paths) {
    const source = await inspectFile(path, dialect)
    // Whether the dialect fits is known before anything is imported.
    const { fileStem, header } = source
    files.push({ source, origin, decoder: createLineDecoder(dialect, { fileStem, header, timezone }) })
  }
  const sources = files.map(({ source }) => source)
  const logId = await logIdOf(deps.log)
  await rememberShifts(sources, logId, request, deps)
  const bytes = sum(sources.map(source => source.bytes))
  const reports: ImportReport[] = []
  for (const [index, file] of files.entries()) {
    if (deps.signal.aborted) break
    const bytesBefore = sum(sources.slice(0, index).map(source => source.bytes))
    const acceptedBefore = sum(reports.map(report => report.accepted))
    const rejectedBefore = sum(reports.flatMap(report => Object.values(report.rejected)))
    const onBlock: ImportFileDeps['onBlock'] = ({ bytesRead, accepted, rejected }) =>
      deps.onProgress({
        path: file.source.path,
        phase: 'importing',
        bytesRead: bytesBefore + bytesRead,
        bytes,
        accepted: acceptedBefore + accepted,
        rejected: rejectedBefore + rejected,
      })
    const begin = await loadBegin(file.source, logId, request, deps)
    reports.push(await importFile(file, begin, { ...deps, onBlock }))
  }
  return reports
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)

/** Every file has a state with its shift before the first call is appended, so that no interruption can forget it. */
async function rememberShifts(
  sources: readonly SourceFile[],
  logId: string,
  { origin, shiftToMs }: ImportRequest,
  deps: ImportDeps,
): Promise<void> {
  const remembered: (number | null)[] = []
  for (const { fingerprint } of sources) {
    if (fingerprint !== null) remembered.push((await loadImportState(deps.dir, fingerprint))?.shiftMs ?? null)
  }
  const bytes = sum(sources.map(source => source.bytes))
  const shiftMs = await commonShiftMs(remembered, shiftToMs, () =>
    lastStartedAtMs(sources, origin, (path, bytesRead) =>
      deps.onProgress({ path, bytes, bytesRead, phase: 'looking for the last call', accepted: 0, rejected: 0 }),
    ),
  )
  for (const source of sources) {
    if (source.fingerprint === null || (await loadImportState(deps.dir, source.fingerprint)) !== null) continue
    await saveImportState(deps.dir, source.fingerprint, beginState(source, origin.dialect, logId, shiftMs))
  }
}

const NOTHING_HASH = hash('sha256', '', 'hex')

const beginState = ({ path }: SourceFile, { definition }: Dialect, logId: string, shiftMs: number): ImportState => ({
  file: path,
  definition,
  logId,
  shiftMs,
  position: { offset: 0, number: 1, prefixHash: NOTHING_HASH },
  accepted: 0,
  rejected: 0,
})

/** Where to go on: behind what is remembered, if it is this file, dialect and log that it is remembered of. */
async function loadBegin(
  source: SourceFile,
  logId: string,
  { origin: { dialect }, isFromStart }: ImportRequest,
  deps: ImportDeps,
): Promise<ImportState> {
  const state = source.fingerprint === null ? null : await loadImportState(deps.dir, source.fingerprint)
  const begin = beginState(source, dialect, logId, state?.shiftMs ?? 0)
  if (state === null || isFromStart || state.definition !== dialect.definition || state.logId !== logId) return begin
  return (await startsWith(source.path, state.position)) ? { ...state, file: source.path } : begin
}
