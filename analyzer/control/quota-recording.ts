/** Quotas of the config are changes too: who looks at the past must find which quotas held when. */
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { quotasNotRecorded } from '../events.ts'
import type { QuotaOptions } from '../policy/quota-options.ts'
import { isOvertaken } from './control-error.ts'
import type { Fold, Wish } from './fold.ts'

/** When it is tried again while the log is away. */
const RETRY_MS = 5_000
/** Changes that are under way at once: each waits until it is on disk, and read again. */
const CHANGES_AT_ONCE = 100
const REASON = 'configuration file'

export interface QuotaRecording {
  /** Resolves when all of it is recorded, or `stop` was called. */
  done: Promise<void>
  /** Resolves when nothing is tried any more. */
  stop(): Promise<void>
}

export interface QuotaRecordingDeps {
  quotas: readonly QuotaOptions[]
  fold: Fold
  change: (wish: Wish) => Promise<void>
  logger: Logger
}

/** Appends what differs from the last quotas in the log, until that is done or `stop` is called. */
export function startQuotaRecording(deps: QuotaRecordingDeps): QuotaRecording {
  const stopping = new AbortController()
  const run = async () => {
    while (!stopping.signal.aborted) {
      try {
        await recordAll(deps, stopping.signal)
        return
      } catch (error) {
        quotasNotRecorded(deps.logger, error instanceof Error ? error.message : String(error))
        await sleep(RETRY_MS, undefined, { signal: stopping.signal }).catch(() => undefined)
      }
    }
  }
  const done = run()
  return {
    done,
    stop() {
      stopping.abort()
      return done
    },
  }
}

async function recordAll({ quotas, fold, change }: QuotaRecordingDeps, signal: AbortSignal): Promise<void> {
  const unavailable = fold.unavailable()
  if (unavailable !== null) throw new Error(unavailable)
  const wishes: Wish[] = []
  const by = `config@${hostname()}`
  const configured = new Set(quotas.map(({ name }) => name))
  for (const options of quotas) {
    const { version, value } = fold.current('quota_config', options.name)
    const sha256 = hashOf(options)
    if ((value as { sha256?: unknown } | null)?.sha256 === sha256) continue
    wishes.push({ kind: 'quota_config', key: options.name, version, value: { sha256, options }, by, reason: REASON })
  }
  for (const key of fold.keys('quota_config')) {
    if (configured.has(key)) continue
    const { version } = fold.current('quota_config', key)
    wishes.push({ kind: 'quota_config', key, version, value: null, by, reason: REASON })
  }
  for (let at = 0; at < wishes.length && !signal.aborted; at += CHANGES_AT_ONCE) {
    await Promise.all(wishes.slice(at, at + CHANGES_AT_ONCE).map(wish => record(wish, change)))
  }
}

async function record(wish: Wish, change: QuotaRecordingDeps['change']): Promise<void> {
  try {
    await change(wish)
  } catch (error) {
    // Another limiter with a config of its own was faster: the next start of one of them tells.
    if (!isOvertaken(error)) throw error
  }
}

/** Equal for equal quotas: validated options have their keys in the order of the file, so they are sorted. */
function hashOf(options: QuotaOptions): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(options)))
    .digest('hex')
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
