/** The calls that a quota covers, by its subjects. */
import { DIMENSION_COLUMNS, matchSql } from '../policy/quota.ts'
import type { Asked } from '../usage/asked.ts'
import type { Selection } from '../usage/selection.ts'
import type { FollowedQuota } from './followed-quota.ts'
import { type Shard, shardCondition } from './shard.ts'

/** What a quota adds up. */
export const selectionOf = (quota: FollowedQuota): Selection => ({
  unit: quota.unit,
  match: matchSql(quota),
  columns: quota.per.map(({ field }) => DIMENSION_COLUMNS[field]),
})

/** Whose checks may spend from the quota; `null` where only records do. */
export function askedOf(quota: FollowedQuota, shard: Shard): Asked | null {
  const { name, unit, per, counts } = quota
  if (counts === 'records') return null
  // Of a quota that is seen through fewer of its calls, the checks of the others are not asked for.
  const conditions = quota.conditions.filter(({ field }) => per.some(one => one.field === field))
  const [own, ofShard] = [matchSql({ conditions }), shardCondition(shard, quota)]
  const condition = { sql: `${own.sql} AND ${ofShard.sql}`, params: { ...own.params, ...ofShard.params } }
  return { quota: name, unit, names: per.map(one => one.name), condition }
}
