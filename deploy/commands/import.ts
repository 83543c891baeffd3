import { join } from 'node:path'
import { createIdentity } from '../../collector/identity.ts'
import { openCallLog } from '../../collector/log/open.ts'
import type { Dialect } from '../../collector/normalize/draft.ts'
import { createNormalizer, type Normalizer } from '../../collector/normalize/normalize.ts'
import { parseIso } from '../../collector/normalize/time.ts'
import { createPrices } from '../../collector/prices.ts'
import { importFiles } from '../../collector/receive/file.ts'
import type { ImportRejection, ImportReport } from '../../collector/receive/import-run.ts'
import { plainSource } from '../../collector/receive/source.ts'
import { type Command, type Invocation, UsageError } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { createProgressDisplay, thousands } from '../import-progress.ts'
import { createLogger } from '../logging.ts'
import { openSecrets } from '../secrets.ts'

/** Rejections that are printed; all of them are kept, and counted. */
const PRINTED_MAX = 20

export const command: Command = {
  usage: 'FILE… [--mapping NAME] [--shift-to-now | --shift-to INSTANT]',
  description:
    'Imports recorded calls, one JSON object a line or through a mapping; files may be compressed with gzip or zstd. ' +
    'Goes on where an interrupted import of the same file stopped; importing again changes nothing. Moved traces keep ' +
    'the times of their first import. The exit code is 1 when nothing was good.',
  options: {
    mapping: { type: 'string', value: 'NAME', description: 'Mapping of the config that reads the files.' },
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
    'import conv.csv code.csv --mapping azure-llm --shift-to-now',
    'import conv.csv --mapping azure-llm --shift-to 2026-11-21T12:00:00Z --json',
  ],
  async run(invocation) {
    if (invocation.positionals.length === 0) throw new UsageError('no file was given')
    const shiftToMs = readShift(invocation)
    const config = await invocation.config()
    const normalizer = openNormalizer(config)
    const dialect = readDialect(normalizer, invocation.text('mapping'), config)
    const stop = new AbortController()
    const onInterrupt = () => stop.abort()
    process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
    const reports = await runImport(invocation, config, { normalizer, dialect, shiftToMs, signal: stop.signal })
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
    const isStopped = stop.signal.aborted
    printReports(invocation, reports, { isStopped, hasShift: shiftToMs !== null })
    const accepted = reports.reduce((sum, report) => sum + report.accepted + report.before, 0)
    return isStopped || (accepted === 0 && reports.some(report => rejectedOf(report) > 0)) ? 1 : 0
  },
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

function openNormalizer(config: Config): Normalizer {
  const { fingerprintKeys } = openSecrets(config.dataDir, config.secrets)
  return createNormalizer({
    identity: createIdentity({ fingerprintKeys, keys: config.keys }),
    prices: createPrices(config.prices),
    clientIp: config.collector.clientIp,
    mappings: config.mappings,
  })
}

function readDialect(normalizer: Normalizer, mapping: string | undefined, config: Config): Dialect {
  const dialect = normalizer.dialect(mapping ?? 'canonical')
  if (dialect !== undefined) return dialect
  const names = Object.keys(config.mappings).join(', ')
  throw new UsageError(`there is no mapping ${JSON.stringify(mapping)}; the config has ${names || 'none'}`)
}

interface Run {
  normalizer: Normalizer
  dialect: Dialect
  shiftToMs: number | null
  signal: AbortSignal
}

async function runImport(invocation: Invocation, config: Config, run: Run): Promise<ImportReport[]> {
  const logger = createLogger({ command: 'import' }, 'error')
  const log = await openCallLog(config.log, {
    dir: join(config.dataDir, 'log'),
    log: logger,
    onLoss: loss => logger.error({ loss }, 'log entries lost'),
  })
  const display = createProgressDisplay(process.stderr)
  const warn = (line: string) => {
    if (invocation.isJson) return
    display.clear()
    invocation.warn(line)
  }
  try {
    return await importFiles(
      {
        paths: invocation.positionals,
        origin: plainSource(run.dialect),
        shiftToMs: run.shiftToMs,
        isFromStart: invocation.isSet('from-start'),
      },
      {
        log,
        logger,
        normalizer: run.normalizer,
        dir: join(config.dataDir, 'imports'),
        now: Date.now,
        signal: run.signal,
        onProgress: progress => {
          if (!invocation.isJson) display.show(progress)
        },
        onRejection: rejectionPrinter(warn),
        onWait: reason => warn(`waiting: ${reason}`),
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
  const { path, accepted, rejected, before, shiftMs } = report
  const reasons = Object.entries(rejected).map(([reason, count]) => `${thousands(count)} ${reason}`)
  return [
    `${path}: ${thousands(accepted)} calls imported`,
    ...(before === 0 ? [] : [`${thousands(before)} were there before`]),
    ...(reasons.length === 0 ? [] : [`rejected: ${reasons.join(', ')}`]),
    ...(hasShift || shiftMs !== 0 ? [`moved by ${(shiftMs / 1000).toFixed(3)} s`] : []),
  ].join('; ')
}
