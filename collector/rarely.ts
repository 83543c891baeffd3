import type { Logger } from 'pino'

/** Between two lines of the same: whoever does something wrong does it with each request. */
const QUIET_MS = 60_000
/** Different things that a log is quiet about; further ones are counted by their metrics only. */
const QUIET_MAX = 1_000

type Counts = Readonly<Record<string, number>>

const quietOf = new WeakMap<Logger, Map<string, Record<string, number>>>()

/** Has something said at once, and then once a minute as long as it goes on, with what came to pass in between added up. */
export function sayRarely(log: Logger, key: string, counts: Counts, say: (sums: Counts) => void): void {
  const quiet = quietOf.get(log) ?? new Map<string, Record<string, number>>()
  quietOf.set(log, quiet)
  const known = quiet.get(key)
  if (known !== undefined) {
    for (const [name, count] of Object.entries(counts)) known[name] = (known[name] ?? 0) + count
    return
  }
  if (quiet.size === QUIET_MAX) return
  say(counts)
  const sums: Record<string, number> = {}
  quiet.set(key, sums)
  const sayMore = () => {
    quiet.delete(key)
    if (Object.keys(sums).length > 0) sayRarely(log, key, sums, say)
  }
  setTimeout(sayMore, QUIET_MS).unref()
}
