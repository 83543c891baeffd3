/**
 * How good forecasts were, once their windows have ended. Probabilities are scored by how far they were off, and by
 * whether what was called 30 % happened three times in ten; quantiles by how often the truth lay between them; all of
 * them by the warning that they would have given.
 */
import type { InstantQuantiles, Quantiles } from './forecaster.ts'

/** A forecast of a window that has ended, made before the limit was reached, and what became of it. */
export interface ScoredForecast {
  /** Equal for the forecasts of one subject's window. */
  windowKey: string
  windowStartMs: number
  windowEndMs: number
  asOfMs: number
  /** It was kept because its turn had come, and not for what it says: the others would bias the scores. */
  isScheduled: boolean
  probability: number
  exhaustionAtMs: InstantQuantiles
  usageAtReset: Quantiles | null
  /** When the limit was reached; `null` is "not before the reset". */
  exhaustedAtMs: number | null
  /** Units that were used in the window by then, and asked for from then on. */
  demand: number
}

/** Forecasts whose probability lay in `[from, to)`; the last bin holds 1 too. */
interface ReliabilityBin {
  from: number
  to: number
  forecasts: number
  /** Mean of what was said; `null` in an empty bin, as is what happened. */
  said: number | null
  happened: number | null
}

export interface Scores {
  forecasts: number
  windows: number
  /** Share of the forecasts after which the limit was reached before the reset. */
  exhaustedShare: number
  /** Mean square of what was said less what happened (0 or 1); Brier, Monthly Weather Review 78 (1950). */
  brier: number
  /** The Brier score of whoever always says `exhaustedShare`. */
  brierOfBaseRate: number
  /** Mean of minus the logarithm of the probability of what happened, clipped. */
  logLoss: number
  /** Mean distance of said and happened over the bins, weighed by their forecasts. */
  calibrationError: number
  reliability: ReliabilityBin[]
  /** Share of the truths between p10 and p90: of exhaustion or reset, whichever came first, and of use at the reset. */
  coverage: { exhaustion: number; usage: number | null }
}

/** What warnings at a threshold would have been worth. */
export interface Lead {
  /** Share of the windows that did not run out in which an alert would have fired. */
  falseAlarmShare: number
  /** The probability from which on to alert. */
  threshold: number
  /** Mean share of the window between alert and exhaustion, 0 where there was no alert. */
  lead: number
  /** Share of the exhausted windows with an alert at least a tenth of the window ahead. */
  early: number
}

const BINS = 10
/** Probabilities are taken to be this far from 0 and 1, so that one mistake does not cost more than all the rest. */
const LOG_CLIP = 0.005
const EARLY_SHARE = 0.1

/** Scores the forecasts that were made by schedule; `null` when there are none. */
export function scoresOf(all: readonly ScoredForecast[]): Scores | null {
  const forecasts = all.filter(({ isScheduled }) => isScheduled)
  if (forecasts.length === 0) return null
  const exhaustedShare = meanOf(forecasts, happened)
  const reliability = reliabilityOf(forecasts)
  const withUsage = forecasts.flatMap(({ usageAtReset, demand }) => (usageAtReset ? [{ usageAtReset, demand }] : []))
  return {
    forecasts: forecasts.length,
    windows: new Set(forecasts.map(({ windowKey }) => windowKey)).size,
    exhaustedShare,
    brier: meanOf(forecasts, one => (one.probability - happened(one)) ** 2),
    brierOfBaseRate: exhaustedShare * (1 - exhaustedShare),
    logLoss: meanOf(forecasts, logLossOf),
    calibrationError:
      reliability.reduce((sum, bin) => sum + bin.forecasts * Math.abs((bin.said ?? 0) - (bin.happened ?? 0)), 0) /
      forecasts.length,
    reliability,
    coverage: {
      exhaustion: meanOf(forecasts, coversInstant),
      usage:
        withUsage.length === 0
          ? null
          : meanOf(withUsage, ({ usageAtReset: { p10, p90 }, demand }) => (demand >= p10 && demand <= p90 ? 1 : 0)),
    },
  }
}

/**
 * The warning that a threshold gives which alerts in `falseAlarmShare` of the quiet windows; between two thresholds it is
 * interpolated, as if one of them were chosen at random. `null` unless some windows ran out and some did not.
 */
export function leadOf(forecasts: readonly ScoredForecast[], falseAlarmShare: number): Lead | null {
  const byWindow = Map.groupBy(forecasts, ({ windowKey }) => windowKey)
  const windows = Array.from(byWindow.values(), ones => ones.toSorted((a, b) => a.asOfMs - b.asOfMs))
  const hit = windows.filter(([first]) => first?.exhaustedAtMs !== null)
  const peaks = windows
    .filter(([first]) => first?.exhaustedAtMs === null)
    .map(ones => Math.max(...ones.map(({ probability }) => probability)))
    .sort((a, b) => b - a)
  if (hit.length === 0 || peaks.length === 0) return null
  const threshold = peaks[Math.min(peaks.length - 1, Math.floor(falseAlarmShare * peaks.length))] ?? 1
  const above = warningOf(hit, probability => probability > threshold)
  const from = warningOf(hit, probability => probability >= threshold)
  const farAbove = peaks.filter(peak => peak > threshold).length / peaks.length
  const farFrom = peaks.filter(peak => peak >= threshold).length / peaks.length
  const share = Math.max(0, Math.min(1, (falseAlarmShare - farAbove) / (farFrom - farAbove)))
  return {
    falseAlarmShare,
    threshold,
    lead: above.lead + share * (from.lead - above.lead),
    early: above.early + share * (from.early - above.early),
  }
}

/** Mean lead and share of early warnings over windows that ran out, their forecasts in order of time. */
function warningOf(windows: readonly ScoredForecast[][], isAlert: (probability: number) => boolean) {
  const leads = windows.map(forecasts => {
    const alert = forecasts.find(({ probability }) => isAlert(probability))
    if (!alert || alert.exhaustedAtMs === null) return 0
    return Math.max(0, alert.exhaustedAtMs - alert.asOfMs) / (alert.windowEndMs - alert.windowStartMs)
  })
  return { lead: meanOf(leads, lead => lead), early: meanOf(leads, lead => (lead >= EARLY_SHARE ? 1 : 0)) }
}

function reliabilityOf(forecasts: readonly ScoredForecast[]): ReliabilityBin[] {
  const binOf = ({ probability }: ScoredForecast) => Math.min(BINS - 1, Math.floor(probability * BINS))
  const byBin = Map.groupBy(forecasts, binOf)
  return Array.from({ length: BINS }, (_, bin) => {
    const inBin = byBin.get(bin) ?? []
    const isEmpty = inBin.length === 0
    return {
      from: bin / BINS,
      to: (bin + 1) / BINS,
      forecasts: inBin.length,
      said: isEmpty ? null : meanOf(inBin, ({ probability }) => probability),
      happened: isEmpty ? null : meanOf(inBin, happened),
    }
  })
}

const happened = ({ exhaustedAtMs }: ScoredForecast): number => (exhaustedAtMs === null ? 0 : 1)

function logLossOf(forecast: ScoredForecast): number {
  const probability = Math.max(LOG_CLIP, Math.min(1 - LOG_CLIP, forecast.probability))
  return -Math.log(happened(forecast) === 1 ? probability : 1 - probability)
}

function coversInstant({ exhaustionAtMs: { p10, p90 }, exhaustedAtMs, windowEndMs }: ScoredForecast): number {
  const atMs = exhaustedAtMs ?? windowEndMs
  return atMs >= (p10 ?? windowEndMs) && atMs <= (p90 ?? windowEndMs) ? 1 : 0
}

const meanOf = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((sum, item) => sum + of(item), 0) / items.length
