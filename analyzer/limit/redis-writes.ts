/**
 * Redis may answer and take no writes: then nothing can be spent, and each decision would fail by itself. That is told
 * once, with what to do about it, until a write is taken again.
 */
import type { Logger } from 'pino'
import { redisAway } from '../events.ts'

/** How often it is tried whether writes are taken again. */
const PROBE_MS = 1_000

/** How Redis refuses writes, and what to do about it. */
const REFUSALS: [RegExp, string][] = [
  [/^OOM/, 'its memory is full (OOM): raise its maxmemory, or keep other data elsewhere'],
  [/^READONLY/, 'it is a replica (READONLY): give an address that leads to the primary, also after a failover'],
  [/^MISCONF/, 'it cannot save its data (MISCONF): its own log says why, mostly that a disk is full'],
  [/^NOREPLICAS/, 'too few of its replicas are there (NOREPLICAS): start them, or lower its min-replicas-to-write'],
]

export interface RedisWritesDeps {
  /** Writes something; rejects where Redis does not take it. */
  probe: () => Promise<unknown>
  log: Logger
}

export interface RedisWrites {
  /** Why writes are refused, or `null`. */
  refusal(): string | null
  /** To be told of what Redis answers to scripts that fail. */
  failed(message: string): void
  close(): void
}

export function createRedisWrites({ probe, log }: RedisWritesDeps): RedisWrites {
  let refusal: string | null = null
  let isClosed = false
  let timer: NodeJS.Timeout | undefined

  const note = (message: string) => {
    const [, why] = REFUSALS.find(([words]) => words.test(message)) ?? []
    if (why === undefined || isClosed) return
    const isFirst = refusal === null
    const told = `Redis takes no writes: ${why}`
    if (refusal !== told) redisAway(log, told)
    refusal = told
    if (isFirst) probeLater()
  }
  const probeLater = () => {
    timer = setTimeout(() => void tryToWrite(), PROBE_MS)
  }
  const tryToWrite = async () => {
    try {
      await probe()
      refusal = null
      log.info('Redis takes writes again')
    } catch (error) {
      note(error instanceof Error ? error.message : String(error))
      if (!isClosed) probeLater()
    }
  }
  return {
    refusal: () => refusal,
    failed: note,
    close() {
      isClosed = true
      clearTimeout(timer)
    },
  }
}
