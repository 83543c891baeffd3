import { isatty } from 'node:tty'
import { destination, type Logger, pino } from 'pino'
import pretty from 'pino-pretty'
import { loggedError } from './logged-error.ts'

const STDERR = 2

/**
 * The root logger of a process, on standard error, so that standard output stays the command's own: JSON lines for
 * machines, and for a person at a terminal one readable line each, without the stacks.
 */
export function createLogger(bindings: Record<string, string>, level: string): Logger {
  const serializers = { err: loggedError }
  const options = { level, base: bindings, timestamp: pino.stdTimeFunctions.isoTime, serializers }
  if (!isatty(STDERR)) return pino(options, destination({ dest: STDERR, sync: true }))
  const readable = pretty({
    destination: STDERR,
    sync: true,
    translateTime: 'SYS:HH:MM:ss',
    messageFormat: '{role}: {msg}{if err} ({err.message}){end}',
    ignore: 'pid,role,command,part,err',
    singleLine: true,
  })
  return pino(options, readable)
}
