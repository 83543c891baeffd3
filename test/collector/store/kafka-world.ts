/** A log in Kafka, a store, and writers between them, in this process or in others that a test can stop and kill. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import pino from 'pino'
import { expect, vi } from 'vitest'
import type { CallRecord } from '../../../collector/call-record.ts'
import type { CallLog, LogLoss } from '../../../collector/log/call-log.ts'
import type { KafkaLogOptions } from '../../../collector/log/kafka-options.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { createWriter, type Writer } from '../../../collector/store/writer.ts'
import { type KafkaServers, startKafka } from '../../servers/kafka.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { toEntry } from './make-call.ts'
import type { WriterProcess } from './writer-process.ts'

const FLUSH_MS = 20
const WAIT = { timeout: 45_000, interval: 50 }
const logger = pino({ level: 'silent' })

export interface KafkaWorld {
  kafka: KafkaServers
  admin: Admin
  opened: TestStore
  log: CallLog
  losses: LogLoss[]
  append(calls: readonly CallRecord[]): Promise<void>
  /** A writer in this process. */
  startWriter(): Writer
  /** A writer in a process of its own, which finds the store at `storePort`. */
  forkWriter(storePort?: number): Promise<ChildProcess>
  /** Waits until so many calls are stored, each once and under a position of its own; fails at once when one is twice. */
  expectStored(calls: number): Promise<void>
  close(): Promise<void>
}

/** Topics and groups begin with `prefix.`. */
export async function openKafkaWorld({ brokers, partitions }: { brokers: 1 | 3; partitions: number }) {
  const [kafka, opened] = await Promise.all([startKafka({ brokers }), openTestStore()])
  const admin = new Kafka({ brokers: kafka.addresses, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const options: KafkaLogOptions = {
    kind: 'kafka',
    brokers: kafka.addresses,
    clientId: 'test',
    topicPrefix: 'prefix.',
    groupPrefix: 'prefix.',
    partitions,
    replicationFactor: brokers,
    minInsyncReplicas: Math.min(2, brokers),
    retentionSeconds: 3_600,
    appendTimeoutMs: 10_000,
    sessionTimeoutMs: 1_500,
    rebalanceTimeoutMs: 3_000,
  }
  const losses: LogLoss[] = []
  const log = await openCallLog(options, { dir: '', log: logger, onLoss: loss => losses.push(loss) })
  const children: ChildProcess[] = []
  const world: KafkaWorld = {
    kafka,
    admin,
    opened,
    log,
    losses,
    append: calls => log.append('calls', calls.map(toEntry)),
    startWriter: () => createWriter({ log, store: opened.store, logger, labelColumns: ['team'], flushMs: FLUSH_MS }),
    async forkWriter(storePort = opened.options.port) {
      const storeOptions = { ...opened.options, port: storePort }
      const task: WriterProcess = {
        logDir: '',
        logOptions: options,
        storeDir: opened.dir,
        storeOptions,
        flushMs: FLUSH_MS,
      }
      const child = fork(join(import.meta.dirname, 'writer-process.ts'), [JSON.stringify(task)], { execArgv: [] })
      children.push(child)
      await once(child, 'message')
      return child
    },
    async expectStored(calls) {
      const count = async () => {
        const [row] = await opened.rows<{ rows: number; ids: number; positions: number }>(
          'SELECT count() AS rows, uniqExact(call_id) AS ids, uniqExact(log_id, log_partition, log_offset) AS positions FROM calls',
        )
        return row
      }
      await vi.waitFor(async () => expect((await count())?.rows).toBeGreaterThanOrEqual(calls), WAIT)
      expect(await count()).toEqual({ rows: calls, ids: calls, positions: calls })
    },
    async close() {
      for (const child of children) child.kill('SIGKILL')
      await log.close()
      await admin.disconnect()
      await Promise.all([kafka.stop(), opened.close()])
    },
  }
  return world
}
