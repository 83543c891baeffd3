/**
 * Envoy's access log service: streams of entries that nobody answers and nobody sends again. What the log cannot take now
 * waits here, and the stream with it, until Envoy's own buffer is full.
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/accesslog/v3/als.proto
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { deliveryRefused } from '../events.ts'
import { NO_CONTEXT } from '../normalize/draft.ts'
import { decodeStreamed, type StreamedLogs } from './envoy-messages.ts'
import { LARGE_BYTES, type Turns } from './flight.ts'
import type { Intake } from './intake.ts'
import { patiently } from './patience.ts'
import { valueBatch } from './raw-batch.ts'
import { fitting } from './request-body.ts'
import type { Caller, StreamMethod } from './rpc.ts'

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
      let writer: StreamedLogs['identifier']
      let count = 0
      for await (const message of messages) {
        const key = `als ${stream} ${count++}`
        const attempt = async () => {
          const { identifier, httpLogs } = fitting(() => decodeStreamed(message))
          // Only the first message says who writes.
          writer = identifier ?? writer
          const entries = (httpLogs?.logEntry ?? []).map(als => ({ als, logName: writer?.logName, node: writer?.node }))
          if (entries.length > 0) await take(intake, entries, key, caller)
        }
        // Decoded anew with each attempt: what waits for the log is the message, a fraction of what it holds.
        await patiently(() => (message.length > LARGE_BYTES ? handlingLarge(attempt) : attempt()), {
          patienceMs: Number.POSITIVE_INFINITY,
          signal,
          onWait: reason => deliveryRefused(logger, { receiver: 'envoy-als', reason }),
        })
      }
      return NO_ANSWER
    },
  }
}

function take(intake: Pick<Intake, 'take'>, entries: readonly unknown[], key: string, { principal, source }: Caller) {
  const context = { ...NO_CONTEXT, timezone: source.timezone }
  return intake.take(source, valueBatch(entries, source.dialect.open(context), context), {
    receiver: 'envoy-als',
    restriction: principal.tenant,
    keyAt: position => `${key} ${position}`,
  })
}
