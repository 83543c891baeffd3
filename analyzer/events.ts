/**
 * What happens in the analyzer and the limiter that somebody may want to count: one function an event bumps its metric
 * and writes its log line, so that the two cannot drift apart.
 */
import { type BatchObservableCallback, metrics, type Observable } from '@opentelemetry/api'
import type { Logger } from 'pino'
import { sayRarely } from '../collector/rarely.ts'
import type { QuotaRisk } from './tick/risks.ts'

const meter = metrics.getMeter('quotacast.analyzer')

const REASON_CHARACTERS_MAX = 200
/** A tick is due every five seconds: quantiles of shorter ones need bounds below that. */
const TICK_BUCKETS_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const tickSeconds = meter.createHistogram('quotacast_tick_seconds', {
  unit: 's',
  description: 'How long a tick of the analyzer took.',
  advice: { explicitBucketBoundaries: TICK_BUCKETS_SECONDS },
})
const forecastsTotal = meter.createCounter('quotacast_forecasts_total', { description: 'Forecasts that were made.' })
const subjectsCutNow = meter.createGauge('quotacast_subjects_cut', {
  description: 'Subjects that are not followed because there are too many.',
})
const ticksSkipped = meter.createCounter('quotacast_ticks_skipped_total', {
  description: 'Ticks that were not done because the store did not answer.',
})
const quotaReadsFailed = meter.createCounter('quotacast_quota_reads_failed_total', {
  description: 'Quotas that could not be read in a tick.',
})

const exhaustionProbability = meter.createObservableGauge('quotacast_exhaustion_probability', {
  description:
    'Highest probability with which a subject of the quota runs out before its reset; 1 when one has run out.',
})
const subjectsAtRisk = meter.createObservableGauge('quotacast_subjects_at_risk', {
  description: 'Subjects of the quota that will run out as probably as is worth an alert.',
})
const subjectsUsedUp = meter.createObservableGauge('quotacast_subjects_used_up', {
  description: 'Subjects of the quota that have reached its limit.',
})

/** Measures whenever metrics are read; the answer ends it. */
function observed(instruments: Observable[], observe: BatchObservableCallback): () => void {
  meter.addBatchObservableCallback(observe, instruments)
  return () => meter.removeBatchObservableCallback(observe, instruments)
}

/** Has the risks of quotas measured whenever metrics are read; the answer ends it. */
export const risksObserved = (risks: () => readonly QuotaRisk[]): (() => void) =>
  observed([exhaustionProbability, subjectsAtRisk, subjectsUsedUp], result => {
    for (const { quota, probability, atRisk, usedUp } of risks()) {
      result.observe(exhaustionProbability, probability, { quota })
      result.observe(subjectsAtRisk, atRisk, { quota })
      result.observe(subjectsUsedUp, usedUp, { quota })
    }
  })

/** A tick has ended. */
export function tickFinished(log: Logger, tick: { tickMs: number; forecastsMade: number; subjectsCut: number }): void {
  const { tickMs, forecastsMade, subjectsCut } = tick
  tickSeconds.record(tickMs / 1000)
  forecastsTotal.add(forecastsMade)
  subjectsCutNow.record(subjectsCut)
  log.debug({ tickMs, forecastsMade, subjectsCut }, 'tick finished')
}

/** What the store says of a statement, without the statement. */
export const briefOf = (reason: string): string => (reason.split(' in scope ')[0] ?? '').slice(0, REASON_CHARACTERS_MAX)

/** A tick could not be done: logged when the reason changes, counted each time. Before the first one the store needs a moment. */
export function tickSkipped(log: Logger, reason: string, level: 'info' | 'warn' | null): void {
  ticksSkipped.add(1)
  if (level !== null) log[level]({ reason }, 'ticks are skipped')
}

/** Ticks are done again. */
export const ticksResumed = (log: Logger): void => log.info('ticks are done again')

/** A quota could not be read; it is read completely in the next tick. Logged when it begins, counted each time. */
export function quotaReadFailed(log: Logger, failure: { quota: string; reason: string }, isNew: boolean): void {
  quotaReadsFailed.add(1)
  if (isNew) log.warn(failure, 'a quota could not be read')
}

const changesSteered = meter.createCounter('quotacast_analyzer_changes_total', {
  description: 'Changes that the analyzer made by itself: paces, and limits that providers say.',
})

/** The analyzer changed something; what it was is in the audit. */
export const changesMade = (changes: number): void => changesSteered.add(changes)

/** What the analyzer wants to change waits for the control log. Logged when the reason changes. */
export function changesWaiting(log: Logger, reason: string, isNew: boolean): void {
  if (isNew) log.warn({ reason }, 'paces and learned limits are not handed on')
}

const decisionsTotal = meter.createCounter('quotacast_decisions_total', {
  description: 'Decisions by quota and result, counted when their sums are handed on.',
})
const decisionSumsLost = meter.createCounter('quotacast_decision_sums_dropped_total', {
  description: 'Sums of decisions that were given up because the log could not take them.',
})
const recordsSettled = meter.createCounter('quotacast_settled_records_total', {
  description: 'Call records that the limiter has applied, by what became of them.',
})
const recordsPassedOver = meter.createCounter('quotacast_passed_over_records_total', {
  description: 'Call records that were gone from the log before the limiter had applied them.',
})
const usageCorrected = meter.createCounter('quotacast_usage_corrected_units_total', {
  description: 'Units by which counters differed from the store of call records, by direction.',
})
const flushesFailed = meter.createCounter('quotacast_limits_flush_failures_total', {
  description: 'Writes of the limit store that failed.',
})
const decisionsDegraded = meter.createCounter('quotacast_degraded_decisions_total', {
  description: 'Decisions that were given while the limit store was away or had no room.',
})
const callsEstimated = meter.createObservableCounter('quotacast_estimated_calls_total', {
  description: 'Calls whose true cost came to be known, by whether the estimate for such calls had covered it.',
})
const denialsEstimated = meter.createObservableCounter('quotacast_estimated_denials_total', {
  description: 'Reservations denied on an estimate; those that would probably have fitted are needless.',
})
const reservationsExpiredTotal = meter.createCounter('quotacast_reservations_expired_total', {
  description: 'Reservations that nobody settled, and that were given back.',
})
const controlEntriesSkipped = meter.createCounter('quotacast_control_entries_skipped_total', {
  description: 'Entries of the control log that could not be read.',
})

/** The limit store is open, in a new epoch. */
export const limitsOpened = (log: Logger, limits: { epoch: number; buckets: number }): void =>
  log.info(limits, 'limit store opened')

/** Counters could not be written. Decisions go on in memory; logged when it begins, counted each time. */
export function limitsFlushFailed(log: Logger, error: unknown, isNew: boolean): void {
  flushesFailed.add(1)
  if (isNew) log.error({ err: error }, 'counters cannot be written: a killed limiter would forget them')
}

/** Counters are written again. */
export const limitsFlushResumed = (log: Logger): void => log.info('counters are written again')

/** Reservations that nobody settled were given back. */
export function reservationsExpired(log: Logger, expired: number): void {
  reservationsExpiredTotal.add(expired)
  sayRarely(log, 'expired', { expired }, sums => log.warn(sums, 'reservations expired'))
}

/** The limit store did not count all of it: quotas answered as `onStoreFailure` says. Logged when the reason changes. */
export function decisionDegraded(log: Logger, reason: string, isNew: boolean): void {
  decisionsDegraded.add(1)
  if (isNew) log.error({ reason }, 'decisions are not counted in full')
}

/** The counters that limiters share are away: this one decides by what it knows. Logged when the reason changes. */
export function decidedAlone(log: Logger, reason: string, isNew: boolean): void {
  decisionsDegraded.add(1)
  if (isNew) log.error({ reason }, 'decisions are approximate: the shared counters are away')
}

/** What was let pass without the shared counters is counted there. */
export const decisionsHandedOver = (log: Logger, buckets: number): void =>
  log.info({ buckets }, 'what was let pass meanwhile is counted')

/** The limiter stops before it could tell. */
export function decisionsNotHandedOver(log: Logger): void {
  log.warn('what was let pass without the shared counters is not counted there: they are still away')
}

/** The sums of some decisions went to the log. */
export function decisionsSummed(
  log: Logger,
  sums: readonly { quota: string; allowed: number; denied: number }[],
): void {
  // Added up first: there are thousands of sums, and few quotas.
  const totals = new Map<string, { allowed: number; denied: number }>()
  for (const { quota, allowed, denied } of sums) {
    const total = totals.get(quota) ?? { allowed: 0, denied: 0 }
    total.allowed += allowed
    total.denied += denied
    totals.set(quota, total)
  }
  for (const [quota, { allowed, denied }] of totals) {
    if (allowed > 0) decisionsTotal.add(allowed, { quota, result: 'allowed' })
    if (denied > 0) decisionsTotal.add(denied, { quota, result: 'denied' })
  }
  log.debug({ sums: sums.length }, 'sums of decisions handed on')
}

/** Sums could not be handed on and had to make room for newer ones. */
export function decisionSumsDropped(log: Logger, dropped: number): void {
  decisionSumsLost.add(dropped)
  log.error({ dropped }, 'sums of decisions lost: the log does not take them')
}

/** Sums wait for the log. */
export const decisionSumsDelayed = (log: Logger, reason: string): void =>
  log.warn({ reason }, 'sums of decisions wait for the log')

/** A batch of call records was applied. */
export function recordsApplied(
  log: Logger,
  counts: Readonly<Record<'linked' | 'unlinked' | 'repeated' | 'duplicate' | 'unreadable', number>>,
): void {
  for (const [result, count] of Object.entries(counts)) if (count > 0) recordsSettled.add(count, { result })
  log.debug(counts, 'call records applied')
}

/** What calls cost was read from the store, by kinds of calls. */
export const costsLearned = (log: Logger, kinds: number): void =>
  log.info({ kinds }, 'what calls cost is learned from the store')

/** Has the rates of estimates measured whenever metrics are read; the answer ends it. */
export const estimatesObserved = (
  counts: () => { calls: number; overran: number; denials: number; needless: number },
): (() => void) =>
  observed([callsEstimated, denialsEstimated], result => {
    const { calls, overran, denials, needless } = counts()
    result.observe(callsEstimated, overran, { result: 'overran' })
    result.observe(callsEstimated, calls - overran, { result: 'covered' })
    result.observe(denialsEstimated, needless, { result: 'needless' })
    result.observe(denialsEstimated, denials - needless, { result: 'needed' })
  })

/** Counters were corrected to what the store holds. */
export function usageReconciled(
  log: Logger,
  corrections: { windows: number; buckets: number; added: number; removed: number },
): void {
  if (corrections.added > 0) usageCorrected.add(corrections.added, { direction: 'added' })
  if (corrections.removed > 0) usageCorrected.add(corrections.removed, { direction: 'removed' })
  if (corrections.buckets > 0) log.info(corrections, 'usage corrected to what the store holds')
  else log.debug(corrections, 'usage is what the store holds')
}

/** Counters could not be compared with the store; tried again later. */
export function reconcilingSkipped(log: Logger, reason: string, isNew: boolean): void {
  if (isNew) log.info({ reason: briefOf(reason) }, 'usage is not compared with the store yet')
}

/** Records were lost to the settler: it rebuilds from the store. */
export function settlerGapFound(log: Logger, gap: { logId: string; fromOffset: number; toOffset: number }): void {
  recordsPassedOver.add(gap.toOffset - gap.fromOffset)
  log.error(gap, 'call records are gone from the log before they were applied; usage is rebuilt from the store')
}

/** What checks had spent of counters that were lost was looked up; of new ones, mostly, nothing. */
export function checksRebuilt(log: Logger, buckets: number): void {
  const text = 'counters are new or were lost: what checks had spent was looked up in the sums of decisions'
  if (buckets > 0) log.info({ buckets }, text)
  else log.debug({ buckets }, text)
}

/** It could not be looked up; tried again. Logged when the reason changes: at the first start the store needs a moment. */
export function checksNotRebuilt(log: Logger, reason: string, isNew: boolean): void {
  if (isNew)
    log.info({ reason: briefOf(reason) }, 'counters are new or were lost: what checks had spent is not looked up yet')
}

/** Counters are behind what was applied to them: they were lost, or an older copy is in their place. */
export function positionLost(log: Logger, position: { logId: string; partition: number; toOffset: number }): void {
  log.error(position, 'the counters do not know what was applied; usage is rebuilt from the store')
}

/** An entry of the control log is no change that this version knows. */
export function controlEntrySkipped(log: Logger, offset: number): void {
  controlEntriesSkipped.add(1)
  log.error({ offset }, 'an entry of the control log cannot be read')
}

/** The quotas of the config could not be recorded as changes yet. */
export function quotasNotRecorded(log: Logger, reason: string): void {
  log.warn({ reason }, 'the quotas of the config are not in the control log yet')
}

/** The counters in Redis can be used: in a new epoch, when those of an earlier life may be gone, at least in part. */
export function redisJoined(log: Logger, limits: { epoch: number; buckets: number; isNew: boolean }): void {
  if (limits.isNew) log.warn(limits, 'counters in Redis begin a new epoch')
  else log.info(limits, 'counters in Redis joined')
}

/** The counters in Redis cannot be used. */
export const redisAway = (log: Logger, reason: string): void =>
  log.error({ reason }, 'counters in Redis cannot be used')

const grpcCallsFailed = meter.createCounter('quotacast_grpc_failures_total', {
  description: 'Calls of the gRPC doors that ended with a status other than OK, by its code.',
})

/** A gateway was not answered, and may let calls pass for that. Logged when the reason changes, counted each time. */
export function grpcCallFailed(log: Logger, failure: { code: number; reason: string }, isNew: boolean): void {
  grpcCallsFailed.add(1, { code: failure.code })
  if (isNew) log.warn(failure, 'a gRPC call failed')
}
