/** The numbers of a fan chart: of a path, under the conditions that are asked about. */
import type { PathAnswer } from '../../analyzer/api/forecast-path.ts'

/** Bands far above the limit would press everything else to the ground. */
const LIMITS_SHOWN_MAX = 2.2

export interface FanChartProps {
  path: PathAnswer
  /** What is asked about, drawn instead of what is; `null` while it is unknown. */
  limit: number | null
  growth: number
}

/** Columns of the chart: seconds, then used, p90, p10, p50 and the limit. */
export type Columns = [number[], ...(number | null)[][]]

/** Bands of demand that grows from now on by a factor: what comes on top of what is used. */
export function columnsOf({ path, limit, growth }: FanChartProps): Columns {
  const { history, bands, forecast } = path
  const { used, windowEndMs } = forecast
  const times = [...history.map(([atMs = 0]) => atMs), ...bands.map(({ atMs }) => atMs)]
  if ((times.at(-1) ?? 0) < windowEndMs) times.push(windowEndMs)
  const past = history.length
  const column = (value: (index: number) => number | null) => times.map((_, index) => value(index))
  // Where nothing resets, use passes too: how that goes with another demand only the analyzer knows.
  const factor = bands.some(({ p10 }) => p10 < used) ? 1 : growth
  const grown = (units: number | undefined) => (units === undefined ? null : used + (units - used) * factor)
  const band = (name: 'p10' | 'p50' | 'p90') =>
    column(index => (index === past - 1 ? used : index < past ? null : grown(bands[index - past]?.[name])))
  return [
    times.map(atMs => atMs / 1000),
    column(index => history[index]?.[1] ?? null),
    band('p90'),
    band('p10'),
    band('p50'),
    column(index => limitAt(path, limit, times[index] ?? 0)),
  ]
}

/** The limit as it changes by itself, unless another one is asked about. */
const limitAt = ({ forecast }: PathAnswer, limit: number | null, atMs: number): number | null =>
  limit === forecast.limit ? (forecast.limitChanges.findLast(({ fromMs }) => fromMs <= atMs)?.limit ?? limit) : limit

/** The highest value that the chart shows. */
export function topOf(columns: Columns, limit: number | null): number {
  const [, used = [], p90 = []] = columns
  const mostOf = (column: readonly (number | null)[]) => Math.max(0, ...column.map(value => value ?? 0)) * 1.05
  const shown = limit === null ? Number.POSITIVE_INFINITY : limit * LIMITS_SHOWN_MAX
  return Math.max(1, (limit ?? 0) * 1.08, mostOf(used), Math.min(mostOf(p90), shown))
}
