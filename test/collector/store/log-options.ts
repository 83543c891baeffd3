import type { LogOptions } from '../../../collector/log/call-log.ts'

/** A log that a test and the processes it starts open alike. */
export const LOG_OPTIONS: LogOptions = { kind: 'embedded', retentionSeconds: 86_400, sizeBytesMax: 256 * 2 ** 20 }
