/** Forecasts as a tick would have published them. */
import type { SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'

export const NOW_MS = 1_800_000_000_000

/** One subject's, 2 s before `NOW_MS`. */
export const forecast = (
  quota: string,
  consumer: string,
  probability: number | null,
  tenant = 'acme',
): SubjectForecast => ({
  quota,
  subject: { tenant, consumer },
  tenant,
  consumer,
  unit: 'requests',
  limit: 100,
  limitChanges: [],
  upstream: null,
  used: 40,
  windowStartMs: NOW_MS - 1_000_000,
  windowEndMs: NOW_MS + 1_000_000,
  asOfMs: NOW_MS - 2_000,
  probability,
  exhaustionAtMs: { p10: NOW_MS + 5, p50: null, p90: null },
  usageAtReset: { p10: 60, p50: 70, p90: 110 },
  headroom: { p10: -10, p50: 30, p90: 40 },
  burnRate: 1.5,
  confidence: 'normal',
  why: 'because',
  crossing: null,
  isStored: false,
})
