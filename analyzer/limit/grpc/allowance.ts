/** How much of something a peer may do: so many at once, and so many a second. */

export interface Allowance {
  /** False when there is none left. */
  take(): boolean
}

export function createAllowance(burst: number, perSecond: number, nowMs: () => number): Allowance {
  let left = burst
  let atMs = nowMs()
  return {
    take() {
      if (left >= 1) {
        left -= 1
        return true
      }
      const now = nowMs()
      left = Math.min(burst, left + ((now - atMs) * perSecond) / 1000)
      atMs = now
      if (left < 1) return false
      left -= 1
      return true
    },
  }
}
