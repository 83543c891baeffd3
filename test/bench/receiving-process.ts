/**
 * The ways in as the collector has them, over a log that keeps nothing, in a process of its own: what it takes of the
 * processor is receiving, decoding and normalizing. Told `decode`, it decodes and normalizes the same inputs alone.
 */
import assert from 'node:assert/strict'
import { Value } from 'typebox/value'
import type { CallLog } from '../../collector/log/call-log.ts'
import type { Principal } from '../../collector/principal.ts'
import { toEntry } from '../../collector/receive/accept.ts'
import { exportBatches } from '../../collector/receive/otlp.ts'
import type { RawBatch } from '../../collector/receive/raw-batch.ts'
import { openReceiving, ReceivingOptions } from '../../collector/receive/receiving.ts'
import { plainSource } from '../../collector/receive/source.ts'
import { createSources } from '../../collector/receive/sources.ts'
import { createServer } from '../../deploy/http.ts'
import { principalOf } from '../../deploy/http-access.ts'
import { listen } from '../../deploy/http-listening.ts'
import { normalizerFor } from '../collector/normalize/normalizer.ts'
import { logger } from '../collector/receive/fixture.ts'
import { freePorts } from '../free-ports.ts'
import { batchOf, cpuMicros, type DecodeTask, normalizeBatch, objectsOf, shapeOf } from './decode-shape.ts'

/** `bodies`: export requests of OpenTelemetry in which the inputs come. */
export type Question = { kind: 'received' } | { kind: 'decode'; task: DecodeTask; bodies: readonly string[] | null }

const [httpPort = 0, grpcPort = 0, syslogPort = 0] = await freePorts(3)
const host = '127.0.0.1'
const principal: Principal = { name: 'bench', tenant: null, scopes: new Set(['ingest']) }
/** Nothing else of a log is asked by what receives. */
const log = { append: async () => undefined, unavailable: () => null } as unknown as CallLog
const receiving = openReceiving({
  options: { ...Value.Create(ReceivingOptions), grpc: { host, port: grpcPort } },
  log,
  normalizer: normalizerFor({ clientIp: 'truncated' }),
  sources: createSources(
    { lines: { dialect: 'nginx', timezone: 'UTC', receive: { kind: 'syslog_tcp', host, port: syslogPort } } },
    {},
  ),
  ...{ principalOf, dir: '', logger, verify: () => principal, now: Date.now },
})
const server = await createServer({
  role: 'collector',
  version: '0',
  log: logger,
  routes: receiving.routes,
  verify: () => principal,
  readiness: async () => ({ isReady: true, reasons: receiving.readiness() }),
  metrics: async () => '',
  isTracing: false,
})
const url = await listen(server, { host, port: httpPort })

process.on('disconnect', () => process.exit())
process.on('message', (question: Question) => {
  if (question.kind === 'received') {
    const { user, system } = process.cpuUsage()
    const { accepted, rejected } = receiving.intake.received()
    process.send?.({ cpuMicros: user + system, accepted, rejected })
    return
  }
  process.send?.({ microsPerCall: microsAlone(question) })
})
process.send?.({ url, syslogPort })

/** From the bytes of a body, or of a line, to what would be appended to the log. */
function microsAlone({ task, bodies }: Extract<Question, { kind: 'decode' }>): number {
  const asked = shapeOf(task)
  assert(asked !== null, 'the fixture has such calls')
  const shape = objectsOf(asked)
  const normalizer = normalizerFor({ clientIp: 'truncated' })
  const source = plainSource(shape.dialect)
  const batches = (): RawBatch[] =>
    bodies === null
      ? [batchOf(shape)]
      : bodies.flatMap(body => exportBatches(JSON.parse(body), source).map(({ batch }) => batch))
  const round = () => {
    for (const batch of batches()) normalizeBatch(batch, shape.dialect.name, normalizer, toEntry)
  }
  return cpuMicros(round, process.cpuUsage) / shape.inputs.length
}
