/** Subjects as decisions and stored forecasts name them. */
import type { Quota } from '../policy/quota.ts'
import type { SubjectValues } from '../usage/selection.ts'

/** The values of `per` in a subject's JSON, or `null` when the quota's dimensions have changed since. */
export function subjectFromJson(quota: Quota, json: string): SubjectValues | null {
  const named = parseObject(json)
  const values = quota.per.map(({ name }) => named[name])
  // Half a surrogate pair can be named in JSON and not be stored with a forecast.
  return values.every(value => typeof value === 'string') ? values.map(value => value.toWellFormed()) : null
}

function parseObject(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    // Whoever wrote it, one unreadable row must not stop the forecasts of all others.
    return {}
  }
}
