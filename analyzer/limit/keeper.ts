/**
 * What is kept of very many kinds of which only some can be: those that are seen now and then. What was not seen for
 * longest makes room (the clock, or second chance, algorithm of page replacement), and a newcomer has to be lucky.
 */

/**
 * Once all places are taken, one of so many newcomers gets one. With a place for each, more kinds than places would take
 * them from one another before any had told something.
 */
const NEWCOMERS_PER_PLACE = 32

export interface Kept {
  /** Since it was last looked for what could make room. */
  isSeen: boolean
}

export interface Keeper<T> {
  /** What is kept under the key; it counts as seen. */
  find(key: string): T | undefined
  /** Keeps what is not kept yet, and answers it; `null` when it gets no place. */
  add(key: string, value: T): T | null
  size(): number
}

/** Keeps at most `max`. */
export function createKeeper<T extends Kept>(max: number): Keeper<T> {
  const kept = new Map<string, T>()
  let newcomers = 0
  const makeRoom = () => {
    for (const [key, value] of kept) {
      kept.delete(key)
      if (!value.isSeen) return
      value.isSeen = false
      kept.set(key, value)
    }
  }
  return {
    find(key) {
      const value = kept.get(key)
      if (value !== undefined) value.isSeen = true
      return value
    },
    add(key, value) {
      if (kept.size >= max) {
        newcomers = (newcomers + 1) % NEWCOMERS_PER_PLACE
        if (newcomers !== 0) return null
        makeRoom()
      }
      kept.set(key, value)
      return value
    },
    size: () => kept.size,
  }
}
