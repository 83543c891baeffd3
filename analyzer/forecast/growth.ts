/** A forecast of demand that is to grow, from the forecast of demand as it is. */
import { type Forecast, headroomOf, type Quantiles } from './forecaster.ts'

export interface Grown {
  used: number
  limit: number
  /** Where that changes on the way. */
  limitAtReset?: number
  /** Demand from now on, as a multiple of what is expected. */
  growth: number
}

/**
 * The limit under which demand as it is has the chances that grown demand has under `limit`: what is left of it lasts as
 * long as a `growth`-th of it lasts now. (Nearly: the calibrator also looks at how much of the limit is used up.)
 */
export const limitBeforeGrowth = ({ used, limit, growth }: Omit<Grown, 'limitAtReset'>): number =>
  used >= limit ? limit : used + (limit - used) / growth

/** Restates a forecast that was made under `limitBeforeGrowth` for the limit itself. */
export function toGrown<T extends Forecast>(forecast: T, grown: Grown): T {
  const { used, limit, limitAtReset = limit, growth } = grown
  const { usageAtReset, burnRate } = forecast
  const later = (units: number) => used + growth * (units - used)
  const usage: Quantiles | null = usageAtReset && {
    p10: later(usageAtReset.p10),
    p50: later(usageAtReset.p50),
    p90: later(usageAtReset.p90),
  }
  return {
    ...forecast,
    usageAtReset: usage,
    headroom: usage && headroomOf(usage, limitAtReset),
    burnRate: burnRate && (burnRate * growth * limitBeforeGrowth(grown)) / limit,
  }
}
