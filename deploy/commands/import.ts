import { join } from 'node:path'
import type { Dialect } from '../../collector/normalize/draft.ts'
import { dialectsOf } from '../../collector/normalize/mapping.ts'
import { parseIso } from '../../collector/normalize/time.ts'
import { importFiles } from '../../collector/receive/file.ts'
import type { ImportRejection, ImportReport } from '../../collector/receive/import-run.ts'
import { type CallSource, plainSource } from '../../collector/receive/source.ts'
import { createSources } from '../../collector/receive/sources.ts'
import { type Command, type Invocation, UsageError } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { refuseDemoFolder } from '../demo/folder.ts'
import { type ImportRun, runFollow, runStream } from '../import-live.ts'
import { createProgressDisplay, thousands } from '../import-progress.ts'
import { createLogger } from '../logging.ts'
import { normalizerOf } from '../normalizer.ts'
import { openLogOf } from '../open-data.ts'
import { openSecrets } from '../secrets.ts'

/** Rejections that are printed; all of them are kept, and counted. */
const PRINTED_MAX = 20
/** The file that is standard input. */
const STDIN = '-'

export const command: Command = {
  usage: 'FILE… | - [--source NAME | --mapping NAME] [--follow] [--shift-to-now | --shift-to INSTANT]',
  takesArguments: true,
  description:
    'Imports recorded calls, one JSON object a line, an array of them, or what a source of the config, a dialect or a ' +
    'mapping reads; files may be compressed with gzip or zstd. Goes on where an interrupted import of the same file ' +
    'stopped; importing again changes nothing. `-` reads standard input, whose calls are new ones each time. With ' +
    '--follow it goes on as the files are written and rotated, until it is stopped. Moved traces keep the times of their ' +
    'first import. The exit code is 1 when nothing was good.',
  options: {
    source: { type: 'string', value: 'NAME', description: 'Source of the config, or dialect, that wrote the files.' },
    mapping: { type: 'string', value: 'NAME', description: 'Mapping of the config that reads the files.' },
    follow: {
      type: 'boolean',
      description: 'Goes on with what is written to the files, which may be patterns such as "/var/log/nginx/*.log".',
    },
    'shift-to-now': {
      type: 'boolean',
      description: 'Moves the calls of all files together so that the last one is now.',
    },
    'shift-to': {
      type: 'string',
      value: 'INSTANT',
      description: 'The same, to an instant such as 2026-11-21T12:00:00Z.',
    },
    'from-start': { type: 'boolean', description: 'Reads the files from their start; what is stored is not doubled.' },
  },
  examples: [
    'import calls.jsonl.gz',
    'import /var/log/nginx/access.log --source nginx --follow',
    'import conv.csv code.csv --mapping azure-llm --shift-to-now',
    'import conv.csv --mapping azure-llm --shift-to 2026-11-21T12:00:00Z --json',
  ],
  async run(invocation) {
    const shiftToMs = readShift(invocation)
    const way = readWay(invocation)
    const config = await invocation.config()
    refuseDemoFolder(config.dataDir)
    const origin = readOrigin(invocation, config)
    const stop = new AbortController()
    const onInterrupt = () => stop.abort()
    process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
    const reports = await runImport(invocation, config, { way, origin, shiftToMs, signal: stop.signal })
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
    // To be stopped is how following ends.
    const isStopped = stop.signal.aborted && way !== 'follow'
    printReports(invocation, reports, { isStopped, hasShift: shiftToMs !== null })
    const isGood = reports.some(({ accepted, before, rejectedBefore }) => accepted + before > rejectedBefore)
    const isBad = reports.some(report => rejectedOf(report) + report.rejectedBefore > 0)
    return isStopped || (isBad && !isGood) ? 1 : 0
  },
}

type Way = 'files' | 'follow' | 'stdin'

function readWay(invocation: Invocation): Way {
  const { positionals } = invocation
  if (positionals.length === 0) throw new UsageError('no file was given')
  const isFollowing = invocation.isSet('follow')
  const hasStdin = positionals.includes(STDIN)
  if (hasStdin && (positionals.length > 1 || isFollowing)) throw new UsageError('- stands alone')
  const way = hasStdin ? 'stdin' : isFollowing ? 'follow' : 'files'
  const needsEnd = ['shift-to-now', 'shift-to', 'from-start'].find(option => invocation.isSet(option))
  if (way !== 'files' && needsEnd !== undefined) throw new UsageError(`--${needsEnd} is for files that have an end`)
  return way
}

function readShift(invocation: Invocation): number | null {
  const text = invocation.text('shift-to')
  if (invocation.isSet('shift-to-now')) {
    if (text !== undefined) throw new UsageError('--shift-to-now and --shift-to exclude each other')
    return Date.now()
  }
  if (text === undefined) return null
  const shiftToMs = parseIso(text)
  if (shiftToMs === null) throw new UsageError(`--shift-to: ${JSON.stringify(text)} is not an ISO 8601 instant`)
  return shiftToMs
}

function readOrigin(invocation: Invocation, config: Config): CallSource {
  const [source, mapping] = [invocation.text('source'), invocation.text('mapping')]
  if (source === undefined) return plainSource(readDialect(mapping, config))
  if (mapping !== undefined) throw new UsageError('--source and --mapping exclude each other')
  const sources = createSources(config.sources, config.mappings)
  const found = sources.find(source)
  if (found !== undefined) return found
  throw new UsageError(`there is no source ${JSON.stringify(source)}; there are ${sources.names.join(', ')}`)
}

function readDialect(mapping: string | undefined, config: Config): Dialect {
  const dialect = dialectsOf(config.mappings).get(mapping ?? 'canonical')
  if (dialect !== undefined) return dialect
  const names = Object.keys(config.mappings).join(', ')
  throw new UsageError(`there is no mapping ${JSON.stringify(mapping)}; the config has ${names || 'none'}`)
}

interface Run {
  way: Way
  origin: CallSource
  shiftToMs: number | null
  signal: AbortSignal
}

async function runImport(invocation: Invocation, config: Config, run: Run): Promise<ImportReport[]> {
  const logger = createLogger({ command: 'import' }, 'error')
  const log = await openLogOf(config, logger)
  const display = createProgressDisplay(process.stderr)
  const warn = (line: string) => {
    if (invocation.isJson) return
    display.clear()
    invocation.warn(line)
  }
  const deps: ImportRun = {
    log,
    logger,
    normalizer: normalizerOf(config, openSecrets(config.dataDir, config.secrets).fingerprintKeys),
    dir: join(config.dataDir, 'imports'),
    now: Date.now,
    signal: run.signal,
    onRejection: rejectionPrinter(warn),
    onWait: reason => warn(`waiting: ${reason}`),
  }
  try {
    if (run.way === 'stdin') return [await runStream(process.stdin, run.origin, deps)]
    if (run.way === 'follow') return await runFollow(invocation.positionals, run.origin, deps)
    return await importFiles(
      {
        paths: invocation.positionals,
        origin: run.origin,
        shiftToMs: run.shiftToMs,
        isFromStart: invocation.isSet('from-start'),
      },
      {
        ...deps,
        onProgress: progress => {
          if (!invocation.isJson) display.show(progress)
        },
      },
    )
  } finally {
    if (!invocation.isJson) display.clear()
    await log.close()
  }
}

function rejectionPrinter(warn: (line: string) => void): (rejection: ImportRejection) => void {
  let printed = 0
  return ({ path, lineNumber, reason, message }) => {
    printed++
    if (printed <= PRINTED_MAX) warn(`${path}:${lineNumber}: ${reason}: ${message}`)
    if (printed === PRINTED_MAX) warn('Further rejections are counted below, and kept: GET /v1/rejections shows them.')
  }
}

const rejectedOf = (report: ImportReport) => Object.values(report.rejected).reduce((sum, count) => sum + count, 0)

function printReports(
  invocation: Invocation,
  reports: readonly ImportReport[],
  { isStopped, hasShift }: { isStopped: boolean; hasShift: boolean },
): void {
  if (invocation.isJson) {
    invocation.print(JSON.stringify({ isComplete: !isStopped, files: reports }))
    return
  }
  for (const report of reports) invocation.print(reportText(report, hasShift))
  if (isStopped) invocation.print('Stopped. The same command goes on where it was.')
}

function reportText(report: ImportReport, hasShift: boolean): string {
  const { path, accepted, rejected, before, rejectedBefore, shiftMs } = report
  const ofThem = rejectedBefore === 0 ? '' : `, ${thousands(rejectedBefore)} of them rejected`
  const reasons = Object.entries(rejected).map(([reason, count]) => `${thousands(count)} ${reason}`)
  return [
    `${path}: ${thousands(accepted)} calls imported`,
    ...(before === 0 ? [] : [`${thousands(before)} were there before${ofThem}`]),
    ...(reasons.length === 0 ? [] : [`rejected: ${reasons.join(', ')}`]),
    ...(hasShift || shiftMs !== 0 ? [`moved by ${(shiftMs / 1000).toFixed(3)} s`] : []),
  ].join('; ')
}
