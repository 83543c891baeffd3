/**
 * The fence between writers. Whoever takes a partition over appends a row to `writer_fence`; every insert carries the
 * condition that no later row exists, and inserts that began before are killed. Over HTTP the kill alone would not do:
 * an insert whose body has stalled before its first 256 KiB is invisible to it, and evaluates the condition when it
 * comes back.
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { ClickHouseError } from '@clickhouse/client'
import type { LogPartition } from '../log/call-log.ts'
import type { Store } from './open.ts'
import { StoreError } from './store-error.ts'

const TAKE_TRIES_MAX = 10
const TAKE_RETRY_MS_MAX = 100
/** FUNCTION_THROW_IF_VALUE_IS_NON_ZERO */
const THROW_IF_CODE = '395'

/** The right to write a partition, until somebody has a higher (epoch, owner). */
export interface Fence {
  topic: LogPartition['topic']
  partition: number
  epoch: number
  /** Id of the writer that took it. */
  owner: string
}

/**
 * Takes the partition over for `owner`: from now on no insert of an older fence has any effect. Behind the stalled sender of an
 * older insert this lasts until the server gives that up: 8 s when embedded, else its `http_receive_timeout`.
 */
export const takeFence = async (
  store: Store,
  { topic, partition }: Pick<Fence, 'topic' | 'partition'>,
  owner: string = randomUUID(),
): Promise<Fence> => {
  for (let tries = 1; tries <= TAKE_TRIES_MAX; tries++) {
    const highest = await readHighest(store, topic, partition)
    const fence: Fence = { topic, partition, epoch: highest.epoch + 1, owner }
    await appendFence(store, fence)
    // Two takers may have chosen the same epoch; whoever is not the highest now would be fenced at once.
    if (isSame(await readHighest(store, topic, partition), fence)) {
      await killInserts(store, fence)
      return fence
    }
    await sleep(Math.random() * TAKE_RETRY_MS_MAX)
  }
  throw new StoreError('STORE_FENCED', `Others keep taking over ${topic}/${partition}`)
}

/**
 * A new epoch for its holder, after an insert whose outcome is unclear: that insert can have no effect any more, so what
 * is stored can be read. Throws `STORE_FENCED` when the partition belongs to somebody else by now.
 */
export const renewFence = async (store: Store, fence: Fence): Promise<Fence> => {
  // The highest may be a row of our own that we never saw acknowledged: then its epoch is not ours, but its owner is.
  const highest = await readHighest(store, fence.topic, fence.partition)
  if (highest.owner !== fence.owner) throw fencedError([fence])
  return takeFence(store, fence, fence.owner)
}

/**
 * The condition of every insert, its parameters, and the id by which the insert can be found and killed. An insert of
 * several partitions of a topic, each behind its own fence, has no effect when one of them belongs to somebody else.
 */
export const fenceInsert = (store: Pick<Store, 'database'>, fences: readonly Fence[]) => {
  const [first] = fences
  assert(first, 'an insert is behind a fence')
  return {
    condition: `throwIf((
      SELECT count() FROM writer_fence WHERE topic = {fence_topic:String} AND arrayExists(
        (of_partition, of_epoch, of_owner) -> partition = of_partition AND (epoch, owner) > (of_epoch, of_owner),
        {fence_partitions:Array(UInt32)}, {fence_epochs:Array(UInt64)}, {fence_owners:Array(String)}
      )
    ) > 0) = 0`,
    params: {
      fence_topic: first.topic,
      fence_partitions: fences.map(({ partition }) => partition),
      fence_epochs: fences.map(({ epoch }) => epoch),
      fence_owners: fences.map(({ owner }) => owner),
    },
    queryId: `${queryIdPrefix(store, first)}${fences.map(queryIdMark).join('')}${randomUUID()}`,
  }
}

/** Maps what an insert threw: `STORE_FENCED` when the condition did, else `STORE_UNAVAILABLE`, outcome unclear. */
export const toInsertError = (error: unknown, fences: readonly Fence[]): StoreError => {
  if (error instanceof ClickHouseError && error.code === THROW_IF_CODE) return fencedError(fences)
  const message = error instanceof Error ? error.message : String(error)
  return new StoreError('STORE_UNAVAILABLE', `An insert of ${nameAll(fences)} failed: ${message}`, { cause: error })
}

/** Queries of other databases on the same server are not ours to kill. */
const queryIdPrefix = ({ database }: Pick<Store, 'database'>, { topic }: Pick<Fence, 'topic'>) =>
  `quotacast-write-${database}-${topic}-`

/** Stands behind the prefix for each partition that is inserted. */
const queryIdMark = ({ partition }: Pick<Fence, 'partition'>) => `<${partition}>`

const fencedError = (fences: readonly Fence[]) =>
  new StoreError(
    'STORE_FENCED',
    `Another writer has taken over ${nameAll(fences)}. Should it be that of another installation: each needs a database of its own`,
  )

const nameAll = (fences: readonly Fence[]) => fences.map(({ topic, partition }) => `${topic}/${partition}`).join(' or ')

const isSame = (highest: { epoch: number; owner: string }, fence: Fence) =>
  highest.epoch === fence.epoch && highest.owner === fence.owner

const readHighest = async (store: Store, topic: string, partition: number) => {
  const result = await store.client.query({
    query: `SELECT max((epoch, owner)) AS highest FROM writer_fence
      WHERE topic = {topic:String} AND partition = {partition:UInt32}`,
    query_params: { topic, partition },
    format: 'JSONCompactEachRow',
    clickhouse_settings: { output_format_json_named_tuples_as_objects: 0 },
  })
  const [[[epoch, owner]] = [[0, '']]] = await result.json<[[number, string]]>()
  return { epoch, owner }
}

const appendFence = (store: Store, fence: Fence) =>
  store.client.command({
    query: `INSERT INTO writer_fence (topic, partition, epoch, owner, taken_at)
      SELECT {topic:String}, {partition:UInt32}, {epoch:UInt64}, {owner:String}, now64(3)`,
    query_params: { ...fence },
    clickhouse_settings: { async_insert: 0, deduplicate_insert: 'disable' },
  })

const killInserts = (store: Store, fence: Fence) =>
  store.client.command({
    query: `KILL QUERY WHERE startsWith(query_id, {prefix:String}) AND position(query_id, {mark:String}) > 0 SYNC`,
    query_params: { prefix: queryIdPrefix(store, fence), mark: queryIdMark(fence) },
  })
