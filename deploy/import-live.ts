/** Imports that last as long as their lines come: files that are followed, and standard input. */
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { reasonCounts } from '../collector/receive/accept.ts'
import { type ImportFileDeps, type ImportReport, patientLog } from '../collector/receive/import-run.ts'
import { createIntake } from '../collector/receive/intake.ts'
import type { CallSource } from '../collector/receive/source.ts'
import { importStream } from '../collector/receive/stream.ts'
import { followFiles, type TailDeps } from '../collector/receive/tail.ts'

export type ImportRun = Omit<ImportFileDeps, 'onBlock'>

/** Follows the files that the paths lead to until it is stopped. One report a file. Rejects as `followFiles`. */
export async function runFollow(
  paths: readonly string[],
  origin: CallSource,
  deps: ImportRun,
): Promise<ImportReport[]> {
  const tally = createTally(deps)
  let problem: string | null = null
  const report = (found: string | null) => {
    if (found !== null && found !== problem) deps.onWait(found)
    problem = found
  }
  await followFiles({ kind: 'file', paths: [...paths], from: 'begin' }, origin, {
    ...deps,
    intake: createIntake(deps),
    // A source of the collector may have the same name and files, and keeps its own positions.
    dir: join(deps.dir, 'followed'),
    report,
    reportWaiting: report,
    onTaken: tally.add,
  })
  return tally.reports()
}

/** Reads the stream to its end, or until it is stopped. Rejects as `importStream`. */
export async function runStream(stream: Readable, origin: CallSource, deps: ImportRun): Promise<ImportReport> {
  const tally = createTally(deps)
  const report = tally.of('-')
  await importStream(stream, origin, {
    intake: createIntake({ ...deps, log: patientLog(deps) }),
    onTaken: (batch, acceptance) => tally.add('-', batch, acceptance),
    signal: deps.signal,
  })
  return { ...report, isComplete: !deps.signal.aborted }
}

/** What came of each file, by its path. */
function createTally({ onRejection }: ImportRun) {
  const reports = new Map<string, ImportReport>()
  const of = (path: string): ImportReport => {
    const known = reports.get(path)
    if (known !== undefined) return known
    const report = { path, accepted: 0, rejected: {}, before: 0, rejectedBefore: 0, shiftMs: 0, isComplete: true }
    reports.set(path, report)
    return report
  }
  const add: NonNullable<TailDeps['onTaken']> = (path, batch, { accepted, rejected }) => {
    const report = of(path)
    report.accepted += accepted
    for (const [reason, count] of reasonCounts(rejected)) {
      report.rejected[reason] = (report.rejected[reason] ?? 0) + count
    }
    for (const { index, reason, message } of rejected) {
      onRejection({ path, lineNumber: batch.lineAt(index).number, reason, message })
    }
  }
  return { of, add, reports: () => [...reports.values()] }
}
