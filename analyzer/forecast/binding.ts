/**
 * Of several limits on the same demand, which one is reached first? Each limit has its chance of being reached by an
 * instant; all of them belong to one demand, so that a future in which one runs out early is one in which the others do:
 * the same level of each is taken to come true.
 */
import { type Crossing, shareAt } from './calibrate.ts'

/** Equally likely futures that are looked at. */
const LEVELS = 200

/** One limit, forecast at `nowMs` until its window's end. */
export interface Running {
  nowMs: number
  windowEndMs: number
  /** Null where nothing could be said: it is taken to last. */
  crossing: Crossing | null
}

/** The chance of each that it is reached before the others and before its window ends; what is missing to 1 is that none is. */
export function firstToBind(running: readonly Running[]): number[] {
  const chances = running.map(() => 0)
  for (let index = 0; index < LEVELS; index++) {
    const level = (index + 0.5) / LEVELS
    const instants = running.map(one => instantOf(one, level))
    const first = Math.min(...instants)
    if (first === Number.POSITIVE_INFINITY) break
    const sharers = instants.filter(atMs => atMs === first).length
    for (const [place, atMs] of instants.entries()) {
      if (atMs === first) chances[place] = (chances[place] ?? 0) + 1 / sharers
    }
  }
  return chances.map(chance => chance / LEVELS)
}

function instantOf({ nowMs, windowEndMs, crossing }: Running, level: number): number {
  const share = crossing && shareAt(crossing, level)
  return share === null ? Number.POSITIVE_INFINITY : nowMs + share * (windowEndMs - nowMs)
}
