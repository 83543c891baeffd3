/**
 * Everything that goes on between log and store while the collector runs: the tables are brought up to date as soon as
 * the store answers, then the writer writes for ever, and every hour log and store are compared.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { CallLog, LogLag } from '../log/call-log.ts'
import { auditStore, type StoreAudit } from './audit.ts'
import { keepAudit } from './audit-retention.ts'
import { migrate } from './migrate.ts'
import type { Store } from './open.ts'
import { StoreError } from './store-error.ts'
import { createWriter, type Writer, type WriterStatus, writerLag } from './writer.ts'

const PREPARE_BACKOFF_MS_MIN = 100
const PREPARE_BACKOFF_MS_MAX = 5000
const AUDIT_EVERY_MS = 3_600_000

export interface StoringDeps {
  log: CallLog
  store: Store
  /** Labels that are columns of `calls`, at most two. */
  labelColumns: readonly string[]
  auditRetentionSeconds: number
  logger: Logger
  now: () => number
}

export interface Storing {
  /** Why entries are not being stored now; empty when all is well. */
  readiness(): string[]
  /** Since the start; zeros until the store was first there. */
  counts(): WriterStatus
  /** Of what waits for the store, also before that was first there. */
  lag(): Promise<LogLag[]>
  /** Compares log and store now, or answers the comparison that is under way. Throws what the store's client throws. */
  audit(): Promise<StoreAudit>
  lastAudit(): StoreAudit | null
  close(): Promise<void>
}

const NO_COUNTS: WriterStatus = { rows: 0, duplicates: 0, unreadable: 0, storedAtMs: null }

/** Begins at once, whether or not the store is there. */
export function startStoring(deps: StoringDeps): Storing {
  const { log, store, logger, now } = deps
  const preparation = prepareWriter(deps)
  let last: StoreAudit | null = null
  let running: Promise<StoreAudit> | null = null

  const compare = async (): Promise<StoreAudit> => {
    const handledTo: Writer['handledTo'] = partition => preparation.writer()?.handledTo(partition) ?? null
    last = await auditStore({ log, store, logger: logger.child({ part: 'audit' }), handledTo, now })
    return last
  }
  const audit = (): Promise<StoreAudit> => {
    running ??= compare().finally(() => {
      running = null
    })
    return running
  }
  const timer = setInterval(() => {
    audit().catch((err: unknown) => logger.warn({ err }, 'log and store could not be compared'))
  }, AUDIT_EVERY_MS)
  timer.unref()

  return {
    readiness: () => preparation.writer()?.readiness() ?? [`calls are not being stored: ${preparation.waitingFor()}`],
    counts: () => preparation.writer()?.status() ?? NO_COUNTS,
    lag: () => writerLag(log),
    audit,
    lastAudit: () => last,
    async close() {
      clearInterval(timer)
      await preparation.close()
      await running?.catch(() => undefined)
    },
  }
}

/** The writer, once there are tables to write to. */
function prepareWriter({ log, store, labelColumns, auditRetentionSeconds, logger, now }: StoringDeps) {
  const closing = new AbortController()
  let writer: Writer | null = null
  let waitingFor = 'the store is being prepared'
  const prepare = async () => {
    for (let backoffMs = PREPARE_BACKOFF_MS_MIN; !closing.signal.aborted; ) {
      try {
        await migrate(store, { log: logger.child({ part: 'migrate' }) })
        await keepAudit(store, auditRetentionSeconds).catch((err: unknown) =>
          logger.warn({ err }, 'the table audit keeps its rows as long as before: its TTL could not be changed'),
        )
        if (closing.signal.aborted) return
        writer = createWriter({ log, store, labelColumns, logger: logger.child({ part: 'writer' }), now })
        return
      } catch (err) {
        const reason = err instanceof Error ? err.message : String(err)
        // At the first start the engine needs a moment; what does not pass by itself is an error.
        const level = err instanceof StoreError ? 'error' : 'info'
        if (reason !== waitingFor) logger[level]({ reason }, 'waiting for the store; calls are kept in the log')
        waitingFor = reason
        await sleep(backoffMs, undefined, { signal: closing.signal }).catch(() => undefined)
        backoffMs = Math.min(2 * backoffMs, PREPARE_BACKOFF_MS_MAX)
      }
    }
  }
  const preparing = prepare()
  return {
    writer: () => writer,
    waitingFor: () => waitingFor,
    async close() {
      closing.abort()
      await preparing
      await writer?.close()
    },
  }
}
