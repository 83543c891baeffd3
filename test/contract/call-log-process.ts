/**
 * A process of its own for the log's contract: appends numbered batches, or reads, and says on stdout what it has
 * acknowledged. Run with one argument, the JSON of `LogProcess`.
 */
import { pino } from 'pino'
import type { LogOptions } from '../../collector/log/call-log.ts'
import { openCallLog } from '../../collector/log/open.ts'

export interface LogProcess {
  options: LogOptions
  dir: string
  act: 'append' | 'read'
  /** The name that is written into each value, or the reader's name. */
  name: string
  /** Appends: entries of each batch and how many batches, for ever when absent. */
  batchEntries: number
  batches?: number
}

/** Batches under way at once, so that a kill meets some in every stage. */
const IN_FLIGHT = 4

const task: LogProcess = JSON.parse(process.argv[2] ?? '')
const log = await openCallLog(task.options, { dir: task.dir, log: pino({ level: 'silent' }), onLoss: () => undefined })

if (task.act === 'append') {
  let sequence = 0
  const appendAll = async (): Promise<void> => {
    while (sequence < (task.batches ?? Number.POSITIVE_INFINITY)) {
      const mine = sequence++
      const entries = Array.from({ length: task.batchEntries }, (_, index) => {
        const value = JSON.stringify({ writer: task.name, sequence: mine, index, of: task.batchEntries })
        return { key: value, value }
      })
      await log.append('calls', entries)
      process.stdout.write(`${mine}\n`)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, appendAll))
  await log.close()
} else {
  log.subscribe(['calls'], task.name, {
    assigned: async () => null,
    async handle({ entries, nextOffset }) {
      process.stdout.write(`${entries[0]?.offset} ${nextOffset}\n`)
    },
    revoked: async () => undefined,
  })
}
