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
export const askedOf = (quota: FollowedQuota, shard: Shard): Asked | null =>
  quota.counts === 'records'
    ? null
    : {
        ...{ quota: quota.name, unit: quota.unit, names: quota.per.map(({ name }) => name) },
        condition: shardCondition(shard, quota),
      }
