/** Forecasts that other analyzers made, as the store keeps them: at most a twelfth of their window old. */
import type { ClickHouseClient } from '@clickhouse/client'
import { CONFIDENCES } from '../forecast/forecaster.ts'
import type { Policy } from '../policy/policy.ts'
import { subjectKey, subjectMap } from '../policy/subject.ts'
import { readRows } from '../usage/selection.ts'
import { type FollowedQuota, isFollowed } from './followed-quota.ts'
import { isInShard, type Shard } from './shard.ts'
import type { SubjectForecast } from './subject-forecast.ts'
import { subjectFromJson } from './subject-json.ts'

/** How often they are read. */
const READ_EVERY_MS = 60_000
/** Most that are answered, those made last. */
const STORED_MAX = 100_000

type Maybe = number | null
type Head = [
  ...[quota: string, subject: string, tenant: string, consumer: string, unit: string],
  ...[windowStartMs: number, windowEndMs: number, asOfMs: number, used: number, probability: number],
]
type Tail = [
  ...[e10: Maybe, e50: Maybe, e90: Maybe, u10: Maybe, u50: Maybe, u90: Maybe],
  ...[h10: Maybe, h50: Maybe, h90: Maybe, burnRate: Maybe, confidence: string, why: string],
]
type StoredRow = [...Head, ...Tail]
const HEAD = 10

/** Answers what other analyzers forecast of the policy's quotas. */
export type ReadOthers = (policy: Policy, nowMs: number) => Promise<readonly SubjectForecast[]>

/** What is outside of the shard is read again every `READ_EVERY_MS`; meanwhile what was read is answered. */
export function createOthers(client: ClickHouseClient, shard: Shard): ReadOthers {
  let others: readonly SubjectForecast[] = []
  let readAtMs = 0
  return async (policy, nowMs) => {
    // Also when the clock was set back.
    if (shard.count > 1 && Math.abs(nowMs - readAtMs) >= READ_EVERY_MS) {
      const quotas = new Map(policy.quotas.filter(isFollowed).map(quota => [quota.name, quota]))
      const found: SubjectForecast[] = []
      await readRows<StoredRow>(client, storedSql, { nowMs, max: STORED_MAX }, row => {
        const quota = quotas.get(row[0])
        const forecast = quota && toForecast(quota, row, { policy, nowMs })
        if (forecast && !isInShard(shard, quota, Object.values(forecast.subject))) found.push(forecast)
      })
      others = found
      readAtMs = nowMs
    }
    return others.filter(({ windowEndMs }) => windowEndMs > nowMs)
  }
}

const millis = (column: string) => `toUnixTimestamp64Milli(${column})`

/** The last one of each subject in its open window. */
const storedSql = `SELECT quota, subject, tenant, consumer, unit, ${millis('window_start')}, ${millis('window_end')},
     ${millis('as_of')}, used, probability, ${millis('exhaustion_p10')}, ${millis('exhaustion_p50')},
     ${millis('exhaustion_p90')}, usage_p10, usage_p50, usage_p90, headroom_p10, headroom_p50, headroom_p90, burn_rate,
     confidence, why
   FROM forecasts
   WHERE window_end > fromUnixTimestamp64Milli({nowMs:Int64})
   ORDER BY as_of DESC
   LIMIT 1 BY quota, subject
   LIMIT {max:UInt32}`

function toForecast(
  quota: FollowedQuota,
  row: StoredRow,
  { policy, nowMs }: { policy: Policy; nowMs: number },
): SubjectForecast | null {
  const [name, json, tenant, consumer, unitName, windowStartMs, windowEndMs, asOfMs, used, probability] = row
  const [e10, e50, e90, u10, u50, u90, h10, h50, h90, burnRate, confidenceName, why] = row.slice(HEAD) as Tail
  const { unit } = quota
  const confidence = CONFIDENCES.find(one => one === confidenceName)
  const values = subjectFromJson(quota, json)
  const subject = subjectMap(quota, values ?? [])
  // What was made while the quota counted something else, or by more dimensions, is of another subject.
  if (unit !== unitName || !confidence || !values || JSON.stringify(subject) !== json) return null
  // What was stored is judged by the limit at the window's end, and may be long changed.
  const [now, ...limitChanges] = policy.limits(quota, subjectKey(values), { fromMs: nowMs, toMs: windowEndMs })
  return {
    quota: name,
    subject,
    tenant: tenant || null,
    consumer: consumer || null,
    ...{ unit, limit: now?.limit ?? null, limitChanges, upstream: null },
    ...{ used, windowStartMs, windowEndMs, asOfMs, probability, burnRate, confidence, why, crossing: null },
    exhaustionAtMs: { p10: e10, p50: e50, p90: e90 },
    usageAtReset: u10 === null || u50 === null || u90 === null ? null : { p10: u10, p50: u50, p90: u90 },
    headroom: h10 === null || h50 === null || h90 === null ? null : { p10: h10, p50: h50, p90: h90 },
    isStored: true,
  }
}
