/** Fills the log with the calls of the past, through the path that every way into the collector takes. */
import type { Logger } from 'pino'
import type { Quota } from '../../analyzer/policy/quota.ts'
import type { CallLog } from '../../collector/log/call-log.ts'
import { canonical } from '../../collector/normalize/canonical.ts'
import { NO_CONTEXT } from '../../collector/normalize/draft.ts'
import { createPrices } from '../../collector/prices.ts'
import { createIntake } from '../../collector/receive/intake.ts'
import { valueBatch } from '../../collector/receive/raw-batch.ts'
import { plainSource } from '../../collector/receive/source.ts'
import type { Config } from '../config-schema.ts'
import { normalizerOf } from '../normalizer.ts'
import { callsOfMinute, MINUTE_MS } from './calls.ts'
import { createEnforcement, type Enforcement } from './enforcement.ts'
import { firstMinute, floorMinute } from './folder.ts'

/** What is on its way to the disk at once: whole hours, as decisions are summed by them. */
const AT_ONCE_MS = 2 * 60 * MINUTE_MS

export interface FillDeps {
  config: Config
  quotas: readonly Quota[]
  fingerprintKeys: readonly string[]
  log: CallLog
  logger: Logger
  signal: AbortSignal
}

/** The minutes to fill, and when the demo was first started. Unix milliseconds, whole minutes the first two. */
export interface FillRange {
  fromMs: number
  toMs: number
  originMs: number
}

/**
 * Appends the calls, the rejections and the sums of decisions of these minutes, each minute as if it came just then.
 * Repeated, it appends the same ids. Answers how many calls; rejects with the log's `LogError`.
 */
export async function fillLog({ fromMs, toMs, originMs }: FillRange, deps: FillDeps): Promise<number> {
  const { config, log, signal } = deps
  let nowMs = fromMs
  // Lines that cannot be read are meant here.
  const logger = deps.logger.child({}, { level: 'error' })
  const intake = createIntake({ log, normalizer: normalizerOf(config, deps.fingerprintKeys), logger, now: () => nowMs })
  const enforcement = createEnforcement(deps.quotas, createPrices(config.prices), toMs)
  const source = plainSource(canonical)
  const decode = canonical.open(NO_CONTEXT)
  decideBefore(fromMs, originMs, enforcement)
  let calls = 0
  const takeMinute = async (minuteMs: number) => {
    const values = callsOfMinute(minuteMs, originMs).map(planned => planned.broken ?? enforcement.decide(planned))
    if (values.length === 0) return
    nowMs = minuteMs + MINUTE_MS
    const acceptance = await intake.take(source, valueBatch(values, decode), {
      receiver: 'file',
      restriction: null,
      keyAt: position => `demo ${minuteMs} ${position}`,
    })
    calls += acceptance.accepted
  }
  for (let beginMs = fromMs; beginMs < toMs && !signal.aborted; ) {
    const endMs = Math.min(toMs, (Math.floor(beginMs / AT_ONCE_MS) + 1) * AT_ONCE_MS)
    const minutes = Array.from({ length: (endMs - beginMs) / MINUTE_MS }, (_, index) => beginMs + index * MINUTE_MS)
    await Promise.all(minutes.map(takeMinute))
    beginMs = endMs
    const sums = enforcement.takeSums()
    if (sums.length > 0) await log.append('decisions', sums)
  }
  return calls
}

/** What was used before, in windows that hold now, counts too. */
function decideBefore(beforeMs: number, originMs: number, enforcement: Enforcement): void {
  const fromMs = Math.max(firstMinute(originMs), enforcement.openSinceMs(beforeMs))
  for (let minuteMs = floorMinute(fromMs); minuteMs < beforeMs; minuteMs += MINUTE_MS) {
    for (const planned of callsOfMinute(minuteMs, originMs)) if (planned.broken === null) enforcement.decide(planned)
  }
  enforcement.takeSums()
}
