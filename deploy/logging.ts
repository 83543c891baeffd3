import { isatty } from 'node:tty'
import { trace } from '@opentelemetry/api'
import { destination, type Logger, pino } from 'pino'
import pretty from 'pino-pretty'
import { loggedError } from './logged-error.ts'

const STDERR = 2

/**
 * The root logger of a process, on standard error, so that standard output stays the command's own: JSON lines for
 * machines, and for a person at a terminal one readable line each, without the stacks. What is said while an HTTP request, or
 * a call of the limiter's gRPC doors, is traced has the ids of its trace and span, under the names that OpenTelemetry gives
 * them in logs that are not its own.
 */
export function createLogger(bindings: Record<string, string>, level: string): Logger {
  const serializers = { err: loggedError }
  const options = { level, base: bindings, timestamp: pino.stdTimeFunctions.isoTime, serializers, mixin: traceFields }
  if (!isatty(STDERR)) return pino(options, destination({ dest: STDERR, sync: true }))
  const readable = pretty({
    destination: STDERR,
    sync: true,
    translateTime: 'SYS:HH:MM:ss',
    messageFormat: '{role}: {msg}{if err} ({err.message}){end}',
    ignore: 'pid,role,command,part,err,trace_id,span_id',
    singleLine: true,
  })
  return pino(options, readable)
}

function traceFields(): object {
  const context = trace.getActiveSpan()?.spanContext()
  return context === undefined ? {} : { trace_id: context.traceId, span_id: context.spanId }
}
