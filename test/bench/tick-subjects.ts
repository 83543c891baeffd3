/** Seasons, bursts and idle days: made-up subjects for what takes many of them. */
import { uniform } from '../../analyzer/forecast/random.ts'

/** Different series; more subjects are copies of these. */
const KINDS = 100

export const kindsOf = (hours: number): Float32Array[] =>
  Array.from({ length: KINDS }, (_, seed) => hoursOf(seed, hours))

/** Hours of one subject: a season of days and weeks, bursts, idle days. */
function hoursOf(seed: number, hours: number): Float32Array {
  const random = uniform(seed)
  const level = Math.exp(6 * random())
  const idle = 0.4 * random()
  const burst = 2 * random()
  let isIdle = false
  return Float32Array.from({ length: hours }, (_, hour) => {
    if (hour % 24 === 0) isIdle = random() < idle
    const season = 1 + Math.sin((hour * 2 * Math.PI) / 24) * (hour % 168 < 120 ? 0.8 : 0.3)
    return isIdle ? 0 : Math.round(level * season * Math.exp(burst * (random() - 0.5)))
  })
}
