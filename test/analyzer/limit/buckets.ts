import type { Bucket } from '../../../analyzer/limit/bucket.ts'

/** A bucket of which nobody has spent, in a window that begins at `startMs`. */
export const emptyBucket = (startMs = 0): Bucket => ({
  ...{ gateway: null, pending: 0, further: null, settled: 0, reserved: 0 },
  ...{ rate: null, rest: 0, drainedMs: 0, window: { startMs } },
})
