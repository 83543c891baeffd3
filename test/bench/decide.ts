/** Decisions without any door, in a process of their own: what one takes, and what a bucket weighs. */
import { spawnSync } from 'node:child_process'
import { fixed, printTable, thousands } from './table.ts'

export const WINDOWS = {
  fixed: { kind: 'fixed', everySeconds: 3600 },
  calendar: { kind: 'calendar', every: 'day', timezone: 'Europe/Berlin' },
  rate: { kind: 'rate', everySeconds: 3600, burst: 1e9 },
  sliding: { kind: 'sliding', everySeconds: 3600 },
} as const
export type WindowKind = keyof typeof WINDOWS
export const DECIDE_CONSUMERS = 10_000
export const MEMORY_BUCKETS = 1_000_000

export interface Decided {
  microsOne: number
  microsThree: number
  bucketBytes: number
}

/** `npm run bench -- decide` */
export async function benchDecide(): Promise<void> {
  process.stdout.write(
    `In-process decisions, counters in memory: ${thousands(DECIDE_CONSUMERS)} consumers in turn; asked as a door asks, matching and answer included\n\n`,
  )
  const rows = (Object.keys(WINDOWS) as WindowKind[]).map(kind => {
    const { microsOne, microsThree, bucketBytes } = measure(kind)
    return [kind, fixed(microsOne, 2), fixed(microsThree, 2), thousands(bucketBytes)]
  })
  printTable(['window', 'µs, one quota', 'µs, three quotas', `bytes a bucket, of ${thousands(MEMORY_BUCKETS)}`], rows)
}

function measure(kind: WindowKind): Decided {
  const task = new URL('decide-task.ts', import.meta.url).pathname
  const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', task, kind], { encoding: 'utf8' })
  if (stdout === '') throw new Error(stderr)
  return JSON.parse(stdout)
}
