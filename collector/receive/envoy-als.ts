/**
 * Envoy's access log service: streams of entries that nobody answers and nobody sends again. What the log cannot take now
 * waits here, and the stream with it, until Envoy's own buffer is full.
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/accesslog/v3/als.proto
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { deliveryRefused } from '../events.ts'
import { NO_CONTEXT, refusal } from '../normalize/draft.ts'
import { decodeStreamed, type StreamedLogs } from './envoy-messages.ts'
import { LARGE_BYTES, type Turns } from './flight.ts'
import type { Intake } from './intake.ts'
import { patiently } from './patience.ts'
import { ProtobufError } from './protobuf.ts'
import { type RawBatch, singleBatch, valueBatch } from './raw-batch.ts'
import type { Caller, StreamMethod } from './rpc.ts'
import type { CallSource } from './source.ts'

const NO_ANSWER = Buffer.alloc(0)

export interface EnvoyMethodDeps {
  intake: Pick<Intake, 'take'>
  /** Of large messages that are handled. */
  handlingLarge: Turns
  logger: Logger
}

/** `StreamAccessLogs`. Each entry is an input `{ als, logName, node }` of the source's dialect. */
export function createEnvoyMethod({ intake, handlingLarge, logger }: EnvoyMethodDeps): StreamMethod {
  return {
    kind: 'stream',
    path: '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
    sourceName: 'envoy',
    async handle(messages, caller, signal) {
      const stream = randomUUID()
      const read = reader(caller.source)
      let count = 0
      const take = async (message: Buffer) => {
        const key = `als ${stream} ${count++}`
        const attempt = async () => {
          const batch = read(message)
          if (batch.size > 0) await takeBatch(intake, batch, key, caller)
        }
        // Decoded anew with each attempt: what waits for the log is the message, a fraction of what it holds.
        await patiently(() => (message.length > LARGE_BYTES ? handlingLarge(attempt) : attempt()), {
          patienceMs: Number.POSITIVE_INFINITY,
          signal,
          onWait: reason => deliveryRefused(logger, { receiver: 'envoy-als', reason }),
        })
      }
      try {
        for await (const message of messages) await take(message)
      } catch (err) {
        // Envoy asks nobody why.
        const { name } = caller.source
        logger.warn({ err, source: name }, 'a stream of access logs ended before all that came was durable')
        throw err
      }
      return NO_ANSWER
    },
  }
}

/** The entries of one message after the other; one that cannot be read is a rejection, and costs no other. */
function reader({ dialect, timezone }: CallSource): (message: Buffer) => RawBatch {
  const context = { ...NO_CONTEXT, timezone }
  const decode = dialect.open(context)
  let writer: StreamedLogs['identifier']
  return message => {
    try {
      const { identifier, httpLogs } = decodeStreamed(message)
      // Only the first message says who writes.
      writer = identifier ?? writer
      const entries = (httpLogs?.logEntry ?? []).map(als => ({ als, logName: writer?.logName, node: writer?.node }))
      return valueBatch(entries, decode, context)
    } catch (error) {
      if (!(error instanceof ProtobufError)) throw error
      return singleBatch({ ...refusal('unreadable', error.message), isInputSecret: true }, '')
    }
  }
}

function takeBatch(intake: Pick<Intake, 'take'>, batch: RawBatch, key: string, { principal, source }: Caller) {
  return intake.take(source, batch, {
    receiver: 'envoy-als',
    restriction: principal.tenant,
    keyAt: position => `${key} ${position}`,
  })
}
