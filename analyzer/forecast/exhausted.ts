/** Whether a forecast says that the limit is reached already, not only that it will be. */
import type { InstantQuantiles } from './forecaster.ts'

/** By the instants that it tells: what is used of the limit does not say it of a burst, nor of a provider that refuses. */
export const isExhausted = ({
  exhaustionAtMs: { p90 },
  asOfMs,
}: {
  readonly exhaustionAtMs: InstantQuantiles
  readonly asOfMs: number
}): boolean => p90 !== null && p90 <= asOfMs
