import type { CallLog, LogDeps, LogOptions } from './call-log.ts'

/** Opens the configured log. Throws `LogError` when it cannot be reached at all; later failures show in `append`. */
export async function openCallLog(options: LogOptions, deps: LogDeps): Promise<CallLog> {
  switch (options.kind) {
    case 'embedded': {
      const { openEmbeddedLog } = await import('./embedded.ts')
      return openEmbeddedLog(options, deps)
    }
    case 'kafka': {
      const { openKafkaLog } = await import('./kafka.ts')
      return openKafkaLog(options, deps)
    }
  }
}
