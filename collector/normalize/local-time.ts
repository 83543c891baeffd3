/** Wall clocks of a time zone to instants, for gateways that write a time and no zone. */

/** Zones change their offset at a quarter of an hour. */
const SLOT_MS = 15 * 60_000
const DAY_MS = 24 * 3_600_000

export type WallClock = (wallClockMs: number) => number

/** By zone, of which there are some hundreds: to make one takes longer than to read a thousand times. */
const clocks = new Map<string, WallClock>()

/**
 * Unix milliseconds of a wall clock, which is given as what they were if it showed UTC. Of the two instants of an hour
 * that comes twice it is the first. Throws `RangeError` for an unknown zone. Times of one quarter of an hour cost 10 ns.
 */
export function wallClockOf(timezone: string): WallClock {
  const known = clocks.get(timezone)
  if (known !== undefined) return known
  const clock = createWallClock(timezone)
  clocks.set(timezone, clock)
  return clock
}

function createWallClock(timezone: string): WallClock {
  if (timezone === 'UTC') return wallClockMs => wallClockMs
  const offsetAt = offsetReader(timezone)
  let slot = Number.NaN
  let offsetMs = 0
  return wallClockMs => {
    const at = Math.floor(wallClockMs / SLOT_MS)
    if (at !== slot) {
      offsetMs = offsetOfWallClock(wallClockMs, offsetAt)
      slot = at
    }
    return wallClockMs - offsetMs
  }
}

function offsetOfWallClock(wallClockMs: number, offsetAt: (instantMs: number) => number): number {
  const before = offsetAt(wallClockMs - DAY_MS)
  const after = offsetAt(wallClockMs + DAY_MS)
  if (before === after || offsetAt(wallClockMs - before) === before) return before
  // Neither holds for an hour that is left out: it is counted on from the time before.
  return offsetAt(wallClockMs - after) === after ? after : before
}

/** The offset of a zone from UTC at an instant. */
function offsetReader(timezone: string): (instantMs: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone: timezone, hourCycle: 'h23', calendar: 'iso8601', numberingSystem: 'latn' },
    ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' },
  })
  return instantMs => {
    const shown: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {}
    for (const { type, value } of format.formatToParts(instantMs)) shown[type] = Number(value)
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = shown
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instantMs / 1000) * 1000
  }
}
