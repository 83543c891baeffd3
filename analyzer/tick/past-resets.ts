/** When what subjects had used was forgiven by hand (`POST /v1/resets`), as the audit has it: what holds now knows the last ones only. */
import type { ClickHouseClient } from '@clickhouse/client'
import { subjectMap } from '../policy/subject.ts'
import { readRows } from '../usage/selection.ts'
import type { Window } from '../usage/window.ts'
import type { FollowedQuota } from './followed-quota.ts'
import { subjectFromJson } from './subject-json.ts'

/** Of one quota, the newest. */
const RESETS_MAX = 10_000

/** The last reset of a subject (its JSON as in the table `forecasts`) in `[startMs, endMs)`, or `null`. Unix milliseconds. */
export type LastResetOf = (subject: string, within: Window) => number | null

/** Reads the quota's resets in a time. */
export async function readPastResets(
  client: ClickHouseClient,
  quota: FollowedQuota,
  { startMs, endMs }: Window,
): Promise<LastResetOf> {
  const bySubject = new Map<string, number[]>()
  const params = { resetQuota: quota.name, startMs, endMs, max: RESETS_MAX }
  await readRows<[string, number]>(client, pastResetsSql, params, ([json, atMs]) => {
    const values = subjectFromJson(quota, json)
    if (!values) return
    // Whoever asked for it may have named the dimensions in another order.
    const subject = JSON.stringify(subjectMap(quota, values))
    bySubject.set(subject, [...(bySubject.get(subject) ?? []), atMs])
  })
  return (subject, within) =>
    bySubject.get(subject)?.find(atMs => atMs >= within.startMs && atMs < within.endMs) ?? null
}

const pastResetsSql = `SELECT JSONExtractRaw(value, 'subject'), toUnixTimestamp64Milli(at) AS at_ms
   FROM audit
   WHERE kind = 'reset' AND at >= fromUnixTimestamp64Milli({startMs:Int64}) AND at < fromUnixTimestamp64Milli({endMs:Int64})
     AND JSONExtractString(value, 'quota') = {resetQuota:String}
   ORDER BY at_ms DESC
   LIMIT {max:UInt32}`
