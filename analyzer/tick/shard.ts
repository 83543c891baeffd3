/**
 * Several analyzers share the subjects: each follows those whose hash is its own. The hash is that of the subject's values
 * alone, so quotas that tell subjects apart alike have them in the same place; it is reckoned alike here and in the store.
 */
import { crc32 } from 'node:zlib'
import { DIMENSION_COLUMNS, type Quota } from '../policy/quota.ts'
import type { Condition } from '../usage/fresh.ts'
import type { Selection, SubjectValues } from '../usage/selection.ts'
import type { FollowedQuota } from './followed-quota.ts'

/** Most analyzers that share subjects. */
const COUNT_MAX = 256
/** Between two values; where a value has it, it is no worse a hash. */
const SEPARATOR = '\u001f'

/** The `index`-th (from 0) of `count`. */
export interface Shard {
  readonly index: number
  readonly count: number
}

export const WHOLE: Shard = { index: 0, count: 1 }

/** Reads `2/3`, the second of three; `null` for what cannot be. */
export function parseShard(text: string): Shard | null {
  const [, which = '', of = ''] = /^(\d{1,3})\/(\d{1,3})$/.exec(text) ?? []
  const [index, count] = [Number(which) - 1, Number(of)]
  return which !== '' && index >= 0 && index < count && count <= COUNT_MAX ? { index, count } : null
}

/** True when the shard follows the subject. A quota with one bucket for all is told by its name. */
export function isInShard(
  { index, count }: Shard,
  { name, per }: Pick<Quota, 'name' | 'per'>,
  subject: SubjectValues,
): boolean {
  if (count === 1) return true
  const values = inOrder(per).map(({ at }) => subject[at] ?? '')
  return crc32(per.length === 0 ? name : values.join(SEPARATOR)) % count === index
}

/** The selection's calls of the shard's subjects. */
export function ofShard(selection: Selection, shard: Shard, quota: FollowedQuota): Selection {
  const { sql, params } = shardCondition(shard, quota)
  if (sql === '1') return selection
  const { match } = selection
  return { ...selection, match: { sql: `(${match.sql}) AND ${sql}`, params: { ...match.params, ...params } } }
}

/** Which subjects of the quota are the shard's, by the columns of its dimensions. */
export function shardCondition({ index, count }: Shard, { per }: FollowedQuota): Condition {
  // One bucket for all is followed whole or not at all.
  if (count === 1 || per.length === 0) return { sql: '1', params: {} }
  const columns = inOrder(per).map(({ field }) => DIMENSION_COLUMNS[field])
  const hashed = columns.join(', {shardSeparator:String}, ')
  return {
    sql: `CRC32(concat(${hashed}, '')) % {shardCount:UInt16} = {shardIndex:UInt16}`,
    params: { shardSeparator: SEPARATOR, shardCount: count, shardIndex: index },
  }
}

/** Two quotas may name the same dimensions in another order. */
const inOrder = (per: Quota['per']) =>
  per.map(({ field }, at) => ({ field, at })).sort((a, b) => (a.field < b.field ? -1 : 1))
