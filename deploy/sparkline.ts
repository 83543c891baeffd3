/** A window of a quota in one line of text: what was used so far, now, and what is expected until the reset. */

const BARS = '▁▂▃▄▅▆▇█'
/** Above the limit. */
const OVER = '█'
const NOW = '│'
const WIDTH = 24

export interface SparklinePath {
  windowStartMs: number
  windowEndMs: number
  limit: number
  /** `[atMs, used]`, ascending; the last is now. */
  history: readonly (readonly number[])[]
  /** What will have been used by then, ascending. */
  bands: readonly { atMs: number; p50: number }[]
}

/** Bars as high as the share of the limit that is used at equal steps of the window; `│` is now. */
export function sparkline({ windowStartMs, windowEndMs, limit, history, bands }: SparklinePath): string {
  const points = [
    ...history.map(([atMs = 0, used = 0]) => ({ atMs, used })),
    ...bands.map(({ atMs, p50 }) => ({ atMs, used: p50 })),
  ]
  const nowMs = history.at(-1)?.[0] ?? windowStartMs
  const untilMs = points.at(-1)?.atMs ?? windowStartMs
  let line = ''
  let isAhead = false
  for (let step = 1; step <= WIDTH; step++) {
    const atMs = windowStartMs + ((windowEndMs - windowStartMs) * step) / WIDTH
    if (!isAhead && atMs > nowMs) {
      line += NOW
      isAhead = true
    }
    line += atMs > untilMs ? ' ' : barOf(usedAt(points, atMs), limit)
  }
  return isAhead ? line : line + NOW
}

function barOf(used: number, limit: number): string {
  if (used >= limit) return OVER
  // The highest bar is kept for a limit that is reached.
  return BARS[Math.floor(((BARS.length - 1) * used) / limit)] ?? OVER
}

function usedAt(points: readonly { atMs: number; used: number }[], atMs: number): number {
  const after = points.findIndex(point => point.atMs >= atMs)
  const [before, next] = [points[after - 1], points[after]]
  if (!before || !next) return next?.used ?? points.at(-1)?.used ?? 0
  return before.used + ((next.used - before.used) * (atMs - before.atMs)) / (next.atMs - before.atMs)
}
