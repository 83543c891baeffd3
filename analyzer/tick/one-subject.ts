/**
 * One subject of a quota, read from the store when somebody asks about it: whether or not it is followed, and also for
 * a quota that only might be.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { narrowedTo } from '../policy/narrowing.ts'
import { subjectMap } from '../policy/subject.ts'
import type { Seen } from '../usage/fresh.ts'
import { keyOfSubject, type SubjectValues } from '../usage/selection.ts'
import type { AllowedOf } from './allowed.ts'
import type { FollowedQuota } from './followed-quota.ts'
import { loadQuotaSeries, type QuotaSeries, readChecks } from './quota-series.ts'
import { type FollowedForecast, forecastSubject } from './subject-forecast.ts'

/** All decisions are new to a series that has seen none: they are added here, and only the subject's. */
const NONE_SEEN: Seen = { positions: [], newestAtMs: 0 }

export interface OneSubject {
  series: QuotaSeries
  key: string
}

/** Reads the subject's series; `null` when nothing is known of it. One that `isKnown` from elsewhere may have used nothing. */
export async function readSubject(
  client: ClickHouseClient,
  quota: FollowedQuota,
  subject: SubjectValues,
  { nowMs, isKnown = false }: { nowMs: number; isKnown?: boolean },
): Promise<OneSubject | null> {
  const alone = narrowedTo(
    quota,
    quota.per.map(({ field }, index) => ({ field, value: subject[index] ?? '' })),
  )
  if (!alone) return null
  const ask = { nowMs, budget: { left: 1 }, decisionsSeen: NONE_SEEN }
  const series = { ...(await loadQuotaSeries(client, alone, ask)), quota }
  const params = { oneSubject: JSON.stringify(subjectMap(quota, subject)) }
  await readChecks(client, series, { sql: 'subject = {oneSubject:String}', params })
  if (isKnown) series.subjects.follow(subject)
  const key = keyOfSubject(subject)
  return series.subjects.has(key) ? { series, key } : null
}

/** Its forecast, by the code that the ticks use; nothing of it is kept. */
export function forecastOne(
  { series, key }: OneSubject,
  ask: { nowMs: number; allowedOf: AllowedOf; growth?: number },
): FollowedForecast | null {
  const scratch = new Float64Array(series.grid.steps + 1)
  return forecastSubject(series, key, { ...ask, state: null, scratch })
}
