/** The calls that a quota covers, by its subjects. */
import { DIMENSION_COLUMNS, matchSql } from '../policy/quota.ts'
import type { Selection } from '../usage/selection.ts'
import type { FollowedQuota } from './followed-quota.ts'

/** What a quota adds up. */
export const selectionOf = (quota: FollowedQuota): Selection => ({
  unit: quota.unit,
  match: matchSql(quota),
  columns: quota.per.map(({ field }) => DIMENSION_COLUMNS[field]),
})
