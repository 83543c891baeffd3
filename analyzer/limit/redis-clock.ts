/** Redis' clock as seen from here: our own, which runs evenly, and how far the two are apart. */
import { createClock } from './clock.ts'

/** Of so many measurements the one with the shortest way there and back is believed. */
const SAMPLES_MAX = 8

interface Sample {
  offsetMs: number
  roundTripMs: number
}

export interface RedisClock {
  /** Unix milliseconds; does not go back. Before the first measurement, our own. */
  nowMs(): number
  /** Notes what Redis' clock was at some instant between the two of `performance.now()`. */
  note(redisMs: number, sentMs: number, receivedMs: number): void
  /** The counters have lived until this instant: not earlier from now on. */
  reach(redisMs: number): void
}

/** `now` replaces Redis' clock altogether; only tests give one. */
export function createRedisClock(now: (() => number) | undefined): RedisClock {
  let samples: Sample[] = []
  let offsetMs = performance.timeOrigin
  const own = now ?? (() => Math.floor(performance.now() + offsetMs))
  let clock = createClock(own, 0)
  return {
    nowMs: () => clock(),
    note(redisMs, sentMs, receivedMs) {
      const sample = { offsetMs: redisMs - (sentMs + receivedMs) / 2, roundTripMs: receivedMs - sentMs }
      const isCoherent = samples.every(
        other => Math.abs(other.offsetMs - sample.offsetMs) <= (other.roundTripMs + sample.roundTripMs) / 2 + 1,
      )
      // One of the two clocks was set: what was measured before says nothing any more.
      samples = isCoherent ? [...samples, sample].slice(-SAMPLES_MAX) : [sample]
      offsetMs = samples.reduce((best, other) => (other.roundTripMs < best.roundTripMs ? other : best)).offsetMs
    },
    reach(redisMs) {
      clock = createClock(own, Math.max(redisMs, clock()))
    },
  }
}
