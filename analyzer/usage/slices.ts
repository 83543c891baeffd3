/** Long work on the main thread, in slices between which others have their turn. */
import { setImmediate } from 'node:timers/promises'

export interface Slices {
  /** The present slice has lasted long enough. */
  isOver(): boolean
  /** Resolves when others have had their turn: the next slice begins. */
  next(): Promise<void>
}

/** Begins the first slice. Asked for each piece of work, and awaited only between slices: awaiting costs more than most pieces. */
export function createSlices(sliceMs: number): Slices {
  let endsAtMs = performance.now() + sliceMs
  return {
    isOver: () => performance.now() >= endsAtMs,
    async next() {
      await setImmediate()
      endsAtMs = performance.now() + sliceMs
    },
  }
}
