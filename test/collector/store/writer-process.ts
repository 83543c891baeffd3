/** A writer in a process of its own, which the test kills or stops. Its argument is the JSON of `WriterProcess`. */
import pino from 'pino'
import type { LogOptions } from '../../../collector/log/call-log.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { openStore, type StoreOptions } from '../../../collector/store/open.ts'
import { createWriter } from '../../../collector/store/writer.ts'

export interface WriterProcess {
  logDir: string
  logOptions: LogOptions
  storeDir: string
  storeOptions: StoreOptions
  flushMs: number
  trimMs?: number
}

// Whoever would kill it has died: a run of tests ends when nobody has its output any more.
process.once('disconnect', () => process.exit())
const task: WriterProcess = JSON.parse(process.argv[2] ?? '')
const logger = pino({ level: 'silent' })
const log = await openCallLog(task.logOptions, { dir: task.logDir, log: logger, onLoss: () => undefined })
const store = await openStore(task.storeOptions, { dir: task.storeDir, log: logger })
const { flushMs, trimMs } = task
createWriter({ log, store, logger, labelColumns: ['team'], flushMs, ...(trimMs !== undefined && { trimMs }) })
process.send?.('started')
