import { destination, type Logger, pino } from 'pino'

const STDERR = 2

/** The root logger of a process: JSON lines on standard error, so that standard output stays the command's own. */
export function createLogger(bindings: Record<string, string>, level: string): Logger {
  return pino(
    { level, base: bindings, timestamp: pino.stdTimeFunctions.isoTime },
    destination({ dest: STDERR, sync: true }),
  )
}
