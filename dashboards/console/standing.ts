/** Where a subject stands, in a few words: the same ones on every page. */
import type { ForecastAnswer } from '../../analyzer/api/forecast-schema.ts'
import { formatAmount, formatDuration, formatShare, formatUnit, formatUnits, formatWhen } from './format.ts'

/** What is used of the limit, as a share; 0 while the provider has not told its limit. */
export const shareUsed = ({ used, limit }: ForecastAnswer): number =>
  limit === null ? 0 : limit > 0 ? used / limit : 1

/** By the instants that are told: what is used of the limit does not say it of a burst, nor of a provider that refuses. */
export const isUsedUp = ({ exhaustionAtMs: { p90 }, asOfMs }: ForecastAnswer): boolean => p90 !== null && p90 <= asOfMs

export function runsOutWords(forecast: ForecastAnswer, nowMs: number): string {
  const { p50 } = forecast.exhaustionAtMs
  if (isUsedUp(forecast)) return 'used up'
  if (p50 !== null) return formatWhen(p50, nowMs)
  return forecast.probability === null ? 'cannot be said' : 'not before the reset'
}

/** What to know of a quota that is used up: behind its name; '' where it denies. */
export const shadowWords = ({ enforcement }: ForecastAnswer): string =>
  enforcement === 'shadow' ? ' (shadow: denies nothing)' : ''

export const limitWords = ({ limit, unit }: { limit: number | null; unit: string }): string =>
  limit === null ? `${formatUnit(unit)}, limit unknown` : `of ${formatUnits(limit, unit)}`

/** What the provider said last, where it sets the limit; `null` where it does not, or said nothing. */
export function upstreamWords({ upstream, unit }: ForecastAnswer, nowMs: number): string | null {
  if (upstream === null) return null
  const { limit, remaining, resetAtMs, deniedUntilMs, asOfMs } = upstream
  const said = [
    ...(remaining === null ? [] : [`${formatUnits(remaining, unit)} left`]),
    ...(limit === null ? [] : [`of ${formatAmount(limit, unit)}`]),
    ...(resetAtMs === null ? [] : [`to be refilled ${formatWhen(resetAtMs, nowMs)}`]),
    ...(deniedUntilMs === null ? [] : [`come again ${formatWhen(deniedUntilMs, nowMs)}`]),
  ]
  if (said.length === 0) return null
  return `The provider said ${asOfMs === 0 ? '' : `${formatWhen(asOfMs, nowMs)}: `}${said.join(', ')}.`
}

/** A pace that slows the subject down, and the quota that will likely stop it first; a sentence for each that there is. */
export function slowedWords({ pace, bindsFirst, unit }: ForecastAnswer, nowMs: number): string[] {
  const [first] = bindsFirst
  return [
    ...(pace === null
      ? []
      : [
          `Slowed down to ${formatUnits(pace.amount, unit)} per ${formatDuration(pace.periodMs)}, so that what is left lasts; it ends ${formatWhen(pace.untilMs, nowMs)}.`,
        ]),
    ...(first === undefined
      ? []
      : [`Of all its quotas ${first.quota} is the most likely to run out first (${formatShare(first.probability)}).`]),
  ]
}
