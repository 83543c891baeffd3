/**
 * Call records and the settler's positions. Limiters share the partitions of the log and take them over from each other;
 * so a batch is applied only while its partition is where the settler saw it last, and one that was on its way when
 * another limiter went on changes nothing.
 */
import { positionKey } from './counters.ts'
import { type LimitStore, LimitStoreError, type RecordBatch, type RecordCounts } from './limit-store.ts'
import { CALL_MS_MAX, type RedisConnection } from './redis-connection.ts'
import { encodeEffects, encodePosition, parsePosition, toNumbers } from './redis-encoding.ts'
import type { Seen } from './redis-seen.ts'

/** Where no position is kept. */
const NONE = '-'
/** Redis takes some 14 µs for a record of three quotas, and decides nothing meanwhile. */
const RECORDS_AT_ONCE_MAX = 64

export interface PositionsDeps {
  connection: RedisConnection
  /** The hash in which they are kept. */
  key: string
  seen: Seen
  bucketsMax: number
  onBucketCount: (count: number) => void
}

export interface Positions extends Pick<LimitStore, 'position' | 'recordsAtOnceMax'> {
  /** Throws `LimitStoreError` when the partition is not where `position` or the batch before has left it. */
  applyRecords(batch: RecordBatch): Promise<RecordCounts>
}

export function createPositions(deps: PositionsDeps): Positions {
  const { connection, key, bucketsMax, onBucketCount } = deps
  const { offsets } = deps.seen
  /** As they are written. */
  const seen = new Map<string, string>()

  return {
    recordsAtOnceMax: RECORDS_AT_ONCE_MAX,
    async position(logId, partition) {
      const field = positionKey(logId, partition)
      const text = await connection.hashField(key, field)
      const position = text === null ? null : parsePosition(text)
      // Behind what was seen: somebody has put an older copy of the counters in place.
      if ((position?.nextOffset ?? 0) < (offsets.get(field) ?? 0)) await connection.rejoin()
      seen.set(field, text ?? NONE)
      if (position !== null) offsets.set(field, position.nextOffset)
      return position
    },
    async applyRecords(batch) {
      const { logId, partition, nextOffset } = batch.position
      const field = positionKey(logId, partition)
      const text = encodePosition(batch.position)
      const kept = JSON.stringify([[...batch.checksOnly], [...batch.held]])
      const args = [encodeEffects(batch), kept, field, seen.get(field) ?? '', text, String(bucketsMax)]
      const answer = await connection.runForBytes('apply', args, CALL_MS_MAX)
      if (answer.length === 0) {
        throw new LimitStoreError('LIMITS_UNAVAILABLE', 'the settler of another limiter has gone on from there')
      }
      seen.set(field, text)
      offsets.set(field, nextOffset)
      const [linked = 0, unlinked = 0, repeated = 0, buckets = 0] = toNumbers(answer)
      onBucketCount(buckets)
      return { linked, unlinked, repeated }
    },
  }
}
