/** What a way in that the collector opens is given, over a real log, and what became of it. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { vi } from 'vitest'
import type { CallRecord } from '../../../collector/call-record.ts'
import { createIntake } from '../../../collector/receive/intake.ts'
import type { Listen, ListenDeps } from '../../../collector/receive/listening.ts'
import { type CallSource, plainSource } from '../../../collector/receive/source.ts'
import { normalizerFor } from '../normalize/normalizer.ts'
import { logger, type TestLog } from './fixture.ts'

const WAIT_MS_MAX = 30_000

export const normalizer = normalizerFor({
  mappings: {
    plain: { format: 'csv', fields: { startedAtMs: { from: 'at', time: 'unix_ms' }, inputTokens: 'tokens' } },
  },
})

export function sourceOf(dialectName = 'canonical', changes: Partial<CallSource> = {}): CallSource {
  const dialect = normalizer.dialect(dialectName)
  if (dialect === undefined) throw new Error(`no dialect ${dialectName}`)
  return { ...plainSource(dialect), name: 'edge', gateway: 'edge', ...changes }
}

/** One canonical call without a request id, told apart by its tokens. */
export const callLine = (tokens: number) => JSON.stringify({ startedAtMs: 1_700_000_000_000, inputTokens: tokens })
export const tokensOf = (calls: readonly CallRecord[]) => calls.map(call => Number(call.inputTokens))
export const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index)

export interface Listening {
  /** What was reported last; `undefined` before anything was. */
  problem(): string | null | undefined
  /** Resolves when the way in has ended; rejects with what it rejected with. */
  stop(): Promise<void>
  /** Rejects or resolves when it ends by itself. */
  ended: Promise<void>
}

export async function depsOf(testLog: TestLog, changes: Partial<ListenDeps> = {}): Promise<ListenDeps> {
  const dir = join(testLog.dir, 'tails')
  await mkdir(dir, { recursive: true })
  const { log } = testLog
  const now = Date.now
  return {
    ...{
      log,
      dir,
      logger,
      now,
      report: () => undefined,
      reportWaiting: () => undefined,
      signal: new AbortController().signal,
    },
    intake: createIntake({ log, normalizer, logger, now }),
    ...changes,
  }
}

/** Resolves when it has reported for the first time. */
export async function listen<Options>(
  way: Listen<Options>,
  options: Options,
  source: CallSource,
  deps: ListenDeps,
): Promise<Listening> {
  const stopping = new AbortController()
  const reported = Promise.withResolvers<void>()
  let problem: string | null | undefined
  const report = (found: string | null) => {
    problem = found
    reported.resolve()
  }
  const ended = way(options, source, {
    ...{ ...deps, report, reportWaiting: report },
    signal: stopping.signal,
  })
  ended.catch(() => undefined)
  await Promise.race([reported.promise, ended])
  return {
    problem: () => problem,
    ended,
    async stop() {
      stopping.abort()
      await ended
    },
  }
}

/** Resolves when so many calls are in the log, and answers them. */
export const untilCalls = (testLog: TestLog, count: number): Promise<CallRecord[]> =>
  vi.waitUntil(
    async () => {
      const calls = await testLog.calls()
      return calls.length >= count ? calls : null
    },
    { timeout: WAIT_MS_MAX, interval: 50 },
  )
