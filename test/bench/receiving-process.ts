/**
 * The ways in as the collector has them, over a log that keeps nothing, in a process of its own: what it takes of the
 * processor is receiving, decoding and normalizing. Told `decode`, it decodes and normalizes the same inputs alone.
 */
import { Value } from 'typebox/value'
import type { CallLog } from '../../collector/log/call-log.ts'
import type { Principal } from '../../collector/principal.ts'
import { openReceiving, ReceivingOptions } from '../../collector/receive/receiving.ts'
import { createSources } from '../../collector/receive/sources.ts'
import { createServer, listen } from '../../deploy/http.ts'
import { principalOf } from '../../deploy/http-access.ts'
import { normalizerFor } from '../collector/normalize/normalizer.ts'
import { logger } from '../collector/receive/fixture.ts'
import { freePorts } from '../free-ports.ts'
import { cpuMicros, type DecodeTask, INPUTS, normalizeAll, shapeOf } from './decode-shape.ts'

export type Question = { kind: 'received' } | { kind: 'decode'; task: DecodeTask }

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
  readiness: async () => receiving.readiness(),
  serveMetrics: () => undefined,
  isTracing: false,
})
const url = await listen(server, { host, port: httpPort })

process.on('message', (question: Question) => {
  if (question.kind === 'received') {
    const { user, system } = process.cpuUsage()
    const { accepted, rejected } = receiving.intake.received()
    process.send?.({ cpuMicros: user + system, accepted, rejected })
    return
  }
  const shape = shapeOf(question.task)
  const normalizer = normalizerFor({ clientIp: 'truncated' })
  process.send?.({ microsPerCall: shape === null ? null : cpuMicros(() => normalizeAll(shape, normalizer)) / INPUTS })
})
process.send?.({ url, syslogPort })
