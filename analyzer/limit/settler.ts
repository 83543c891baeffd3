/**
 * Applies call records to the counters: a record that belongs to a check replaces its estimate, any other spends as it
 * arrives. The position in the log is kept with the counters, so that after a kill records are applied again exactly as
 * far as they were forgotten. A call that was sent twice is applied once: ids are remembered, and read again at start;
 * those of the latest to arrive, as what gateways date ahead would stay for ever and leave no room for the others.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type CallRecord, parseCallRecord } from '../../collector/call-record.ts'
import { type CallIdSet, createCallIdSet } from '../../collector/log/call-ids.ts'
import type { CallLog, LogBatch, LogPartition, LogReader } from '../../collector/log/call-log.ts'
import { recordsApplied, settlerGapFound } from '../events.ts'
import type { Policy } from '../policy/policy.ts'
import type { Dimensions, Quota } from '../policy/quota.ts'
import { callerKey } from '../policy/subject.ts'
import { type Unit, unitCost } from '../usage/units.ts'
import type { DecisionIds } from './decision-id.ts'
import { type Freshness, startFreshness } from './freshness.ts'
import type { AppliedPosition, LimitStore, RecordBatch, RecordCounts, RecordEffect } from './limit-store.ts'
import { createLostPositions } from './lost-positions.ts'
import { spendsOf } from './spending.ts'

const READER = 'settler'
/** Entries behind the position whose ids are read again at start: a second or two. */
const REMEMBERED_ENTRIES_MAX = 500_000
const REMEMBERED_READ_ENTRIES = 5_000

export interface SettlerDeps {
  log: CallLog
  store: LimitStore
  policy: () => Policy
  /** Configured labels that are dimensions, in their order. */
  labelColumns: readonly string[]
  decisionIds: DecisionIds
  callIdBytesMax: number
  /** Told of records that nothing could link to a check. */
  onRecordWithoutId: (gateway: string) => void
  /** Told of each record once, when it has been applied. */
  onApplied: (record: CallRecord) => void
  logger: Logger
}

type SettlerCounts = RecordCounts & { duplicate: number; unreadable: number }

export interface Settler extends Pick<Freshness, 'asOfMs' | 'lagEntries'> {
  /** Since the start. */
  counts(): SettlerCounts
  close(): Promise<void>
}

/** Begins at once, whether or not the log is there. */
export function startSettler(deps: SettlerDeps): Settler {
  const ids = createCallIdSet({ bytesMax: deps.callIdBytesMax })
  const total = noCounts()
  const lost = createLostPositions(deps)
  const freshness = startFreshness({ ...deps, beforeLook: lost.recover })
  const reader = createReader(deps, ids, (counts, arrivedAtMs, position) => {
    lost.applied(position)
    addCounts(total, counts)
    freshness.applied(arrivedAtMs)
  })
  const subscription = deps.log.subscribe(['calls'], READER, reader)
  return {
    ...freshness,
    counts: () => ({ ...total }),
    async close() {
      freshness.close()
      await subscription.close()
    },
  }
}

/** Settles nothing: another process of this machine does. */
export function startSettlerElsewhere(deps: Pick<SettlerDeps, 'log' | 'store'>): Settler {
  const freshness = startFreshness(deps)
  return { ...freshness, counts: noCounts, close: async () => freshness.close() }
}

type OnSlice = (counts: SettlerCounts, arrivedAtMs: number, position: AppliedPosition) => void

function createReader(deps: SettlerDeps, ids: CallIdSet, onSlice: OnSlice): LogReader {
  const { store, logger } = deps
  const toEffect = createEffects(deps)

  const applySlice = async (from: AppliedPosition, entries: LogBatch['entries'], nextOffset: number) => {
    const counts = noCounts()
    const fresh = new Map<string, CallRecord>()
    let { appliedOffset } = from
    let arrivedAtMs = 0
    for (const { offset, value } of entries) {
      // A batch that comes again, after it was applied in part.
      if (offset < from.nextOffset) continue
      const record = parseCallRecord(value)
      if (record === null) counts.unreadable += 1
      else if (ids.has(record.callId) || fresh.has(record.callId)) counts.duplicate += 1
      else {
        fresh.set(record.callId, record)
        appliedOffset = offset
        arrivedAtMs = record.arrivedAtMs
      }
    }
    const effects: RecordEffect[] = []
    for (const record of fresh.values()) {
      const effect = toEffect.of(record, store.nowMs())
      if (effect !== null) effects.push(effect)
    }
    const position = { ...from, nextOffset: Math.max(nextOffset, from.nextOffset), appliedOffset }
    const applied = await store.applyRecords({ effects, ...toEffect.settlingOf(), position })
    // Only now: had the store refused, the records would come again, and must not look like duplicates.
    for (const record of fresh.values()) {
      ids.add(record.callId, record.arrivedAtMs)
      deps.onApplied(record)
    }
    onSlice({ ...counts, ...applied }, arrivedAtMs, position)
    return { position, counts: { ...counts, ...applied } }
  }

  /** Entries that the log no longer has: what they spent is only in the store, from which it is learned by comparing. */
  const passOver = async ({ logId, partition, beginOffset }: LogPartition & { beginOffset: number }, from: number) => {
    if (from > 0) settlerGapFound(logger, { logId, fromOffset: from, toOffset: beginOffset })
    // In this order: a position that had moved would not tell of the gap any more.
    await store.forgetComparisons()
    const position = { logId, partition, nextOffset: beginOffset, appliedOffset: beginOffset - 1 }
    await store.applyRecords({ effects: [], ...toEffect.settlingOf(), position })
  }

  return {
    async assigned(partition) {
      const { logId, beginOffset } = partition
      const position = await store.position(logId, partition.partition)
      const nextOffset = position?.nextOffset ?? 0
      if (nextOffset < beginOffset) await passOver(partition, nextOffset)
      else await remember(deps.log, partition, { fromOffset: beginOffset, toOffset: nextOffset, ids })
      return Math.max(nextOffset, beginOffset)
    },
    async handle(batch, heartbeat) {
      const { logId, partition, entries } = batch
      const sum = noCounts()
      let position = (await store.position(logId, partition)) ?? { logId, partition, nextOffset: 0, appliedOffset: -1 }
      for (let at = 0; at < entries.length; at += store.recordsAtOnceMax) {
        const to = at + store.recordsAtOnceMax
        const slice = await applySlice(position, entries.slice(at, to), entries[to]?.offset ?? batch.nextOffset)
        position = slice.position
        addCounts(sum, slice.counts)
        await heartbeat()
        await nextTurn()
      }
      recordsApplied(logger, sum)
    },
    async revoked() {},
  }
}

/** Reads the ids of records that have been applied already, the latest ones. */
async function remember(
  log: CallLog,
  partition: LogPartition,
  range: { fromOffset: number; toOffset: number; ids: CallIdSet },
): Promise<void> {
  let offset = Math.max(range.fromOffset, range.toOffset - REMEMBERED_ENTRIES_MAX)
  while (offset < range.toOffset) {
    const entriesMax = Math.min(REMEMBERED_READ_ENTRIES, range.toOffset - offset)
    const batch = await log.read('calls', partition.partition, offset, entriesMax)
    if (batch.nextOffset <= offset || batch.logId !== partition.logId) return
    for (const entry of batch.entries) {
      if (entry.offset >= range.toOffset) break
      const record = parseCallRecord(entry.value)
      if (record !== null) range.ids.add(record.callId, record.arrivedAtMs)
    }
    offset = batch.nextOffset
    await nextTurn()
  }
}

/** What a record does to which buckets; null when it does nothing. */
function createEffects({ policy, labelColumns, decisionIds, onRecordWithoutId }: SettlerDeps) {
  const settlingOf = rememberLast((quotas: readonly Quota[]): Pick<RecordBatch, 'checksOnly' | 'held'> => {
    const seriesOf = (some: readonly Quota[]) => new Set(some.map(({ series }) => series))
    // What is held is given back by the record, whatever counts.
    const isHeld = ({ window }: Quota) => window.kind === 'held'
    const checksOnly = quotas.filter(quota => quota.counts === 'checks' && !isHeld(quota))
    return { checksOnly: seriesOf(checksOnly), held: seriesOf(quotas.filter(isHeld)) }
  })
  const of = (record: CallRecord, nowMs: number): RecordEffect | null => {
    const { startedAtMs, requestId, gateway } = record
    const dims = dimensionsOf(record, labelColumns)
    const reference = record.decisionId === null ? null : decisionIds.decode(record.decisionId)
    const mayBeChecked = reference !== null || requestId !== null
    const call = { dims, startedAtMs, nowMs, mayBeChecked, costIn: (unit: Unit) => unitCost(record, unit) }
    const spends = spendsOf(call, policy(), countsRecords).map(({ spend }) => spend)
    if (reference === null && requestId === null) onRecordWithoutId(gateway ?? '')
    if (spends.length === 0 && reference === null && requestId === null) return null
    const isNameless = dims.tenant === null || dims.consumer === null
    return { reference, gateway: gateway ?? '', requestId, caller: callerKey(dims), isNameless, spends }
  }
  return { of, settlingOf: () => settlingOf(policy().enforced) }
}

const countsRecords = ({ counts }: Quota) => counts !== 'checks'

/** `make` of the same argument is made once. */
function rememberLast<A, T>(make: (argument: A) => T): (argument: A) => T {
  let last: { argument: A; made: T } | null = null
  return argument => {
    if (last?.argument !== argument) last = { argument, made: make(argument) }
    return last.made
  }
}

/** The dimensions that quotas may name. */
function dimensionsOf(record: CallRecord, labelColumns: readonly string[]): Dimensions {
  const { tenant, consumer, gateway, route, service, provider, model, providerKey, labels } = record
  const [first = '', second = ''] = labelColumns
  const label1 = labels[first] ?? null
  const label2 = labels[second] ?? null
  return { tenant, consumer, gateway, route, service, provider, model, providerKey, label1, label2 }
}

const noCounts = (): SettlerCounts => ({ linked: 0, unlinked: 0, repeated: 0, duplicate: 0, unreadable: 0 })

function addCounts(sum: SettlerCounts, counts: SettlerCounts): void {
  sum.linked += counts.linked
  sum.unlinked += counts.unlinked
  sum.repeated += counts.repeated
  sum.duplicate += counts.duplicate
  sum.unreadable += counts.unreadable
}
