/** OTLP over gRPC: the same export requests as over HTTP. https://opentelemetry.io/docs/specs/otlp/#otlpgrpc */
import { hash } from 'node:crypto'
import type { Rejected } from './accept.ts'
import { LARGE_BYTES, type Turns } from './flight.ts'
import type { Intake } from './intake.ts'
import { exportAnswer, exportBatches, METRICS_ANSWER, OTLP_SOURCE } from './otlp.ts'
import { type CallSignal, decodeExport, encodeAnswer } from './otlp-messages.ts'
import { fitting } from './request-body.ts'
import type { Caller, UnaryMethod } from './rpc.ts'

const COLLECTOR = '/opentelemetry.proto.collector'
const PATHS = {
  logs: `${COLLECTOR}.logs.v1.LogsService/Export`,
  traces: `${COLLECTOR}.trace.v1.TraceService/Export`,
  metrics: `${COLLECTOR}.metrics.v1.MetricsService/Export`,
}

/** The `Export` methods. An answer comes when the calls would survive a crash. Large messages wait for their turn. */
export function createOtlpMethods(intake: Pick<Intake, 'take'>, handlingLarge: Turns): UnaryMethod[] {
  const method = (signal: CallSignal): UnaryMethod => ({
    kind: 'unary',
    path: PATHS[signal],
    sourceName: OTLP_SOURCE,
    handle: async (message, caller) => {
      const take = () => takeExport(intake, signal, message, caller)
      const rejected = await (message.length > LARGE_BYTES ? handlingLarge(take) : take())
      return encodeAnswer(signal, exportAnswer(rejected), 'protobuf')
    },
  })
  return [
    method('logs'),
    method('traces'),
    {
      kind: 'unary',
      path: PATHS.metrics,
      sourceName: OTLP_SOURCE,
      handle: async () => encodeAnswer('metrics', METRICS_ANSWER, 'protobuf'),
    },
  ]
}

async function takeExport(
  intake: Pick<Intake, 'take'>,
  signal: CallSignal,
  message: Buffer,
  { principal, source }: Caller,
): Promise<Rejected[]> {
  const batches = fitting(() => exportBatches(decodeExport(signal, message), source))
  const messageHash = hash('sha256', message, 'hex')
  const rejected: Rejected[] = []
  for (const [part, { source: reading, batch }] of batches.entries()) {
    const acceptance = await intake.take(reading, batch, {
      receiver: 'otlp-grpc',
      restriction: principal.tenant,
      keyAt: position => `otlp ${source.name} ${part} ${messageHash} ${position}`,
    })
    rejected.push(...acceptance.rejected)
  }
  return rejected
}
