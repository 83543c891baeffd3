/**
 * Windows: the half-open periods that quotas cover. A fixed window repeats every so many seconds from an anchor; a
 * calendar window follows the calendar of a time zone, so its days may have 23 or 25 hours. These two reset. A sliding
 * window is always the time that has just passed, and a rate has none: what is spent drains. Both are counted in buckets
 * all the same, and so is what is held; `bucketAt` has their bounds.
 */
import { Temporal } from 'temporal-polyfill'
import type { WindowOptions } from './window-options.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000
/** A half-open period [startMs, endMs), Unix milliseconds. */
export interface Window {
  readonly startMs: number
  readonly endMs: number
}

interface Described {
  /** The same text for the same windows; part of a bucket's identity. */
  readonly definition: string
  /** The two windows asked for last. A cache: the calendar's arithmetic takes 18 µs, most questions are about now. */
  recent: Window
  recentOther: Window
}
interface FixedWindow extends Described {
  readonly kind: 'fixed'
  readonly everySeconds: number
  readonly anchorMs: number
}
interface CalendarWindow extends Described {
  readonly kind: 'calendar'
  readonly every: 'day' | 'week' | 'month' | 'year'
  readonly timezone: string
  readonly startsOn: number
}
/** Windows that begin and end. */
export type ResettingWindow = FixedWindow | CalendarWindow
export interface SlidingWindow {
  readonly kind: 'sliding'
  readonly definition: string
  readonly lengthMs: number
  readonly slotMs: number
}
export interface RateWindow {
  readonly kind: 'rate'
  readonly definition: string
  readonly periodMs: number
  /** Null: the limit. */
  readonly burst: number | null
  /** A bucket is taken along from one stretch of time of this length to the next in which something is spent. */
  readonly keptMs: number
  /** So many later a bucket is still known: until then a burst has drained, unless it takes very long. */
  readonly stretches: number
}
/** No window: what is held now. */
interface HeldWindow {
  readonly kind: 'held'
  readonly definition: string
}
export type WindowSpec = ResettingWindow | SlidingWindow | RateWindow | HeldWindow

/** Of quotas that limit what is held at once. */
export const HELD_WINDOW: HeldWindow = { kind: 'held', definition: 'held' }
/** Nothing is held for longer. */
export const HELD_MS_MAX = DAY_MS

/** A window that cannot be. `path` names the option, as in `/timezone`. */
export class WindowError extends Error {
  readonly code = 'WINDOW_INVALID'
  readonly path: string

  constructor(path: string, message: string) {
    super(message)
    this.name = 'WindowError'
    this.path = path
  }
}

const NO_WINDOW: Window = { startMs: 0, endMs: 0 }
/** Greatest `startsOn` per period: weekdays, days that every month has, months. */
const STARTS_ON_MAX = { day: 1, week: 7, month: 28, year: 12 } as const

/**
 * Makes validated options usable; `limit` is that of the quota, null where it is not known. Throws `WindowError` for an
 * unknown time zone, anchor or first day.
 */
export function parseWindow(options: WindowOptions, limit: number | null = null): WindowSpec {
  switch (options.kind) {
    case 'fixed': {
      const anchorMs = parseAnchor(options.anchor)
      const everyMs = options.everySeconds * 1000
      // Anchors that lie whole windows apart describe the same windows.
      const phaseMs = ((anchorMs % everyMs) + everyMs) % everyMs
      return {
        kind: 'fixed',
        everySeconds: options.everySeconds,
        anchorMs,
        definition: `fixed ${options.everySeconds}s+${phaseMs}ms`,
        recent: NO_WINDOW,
        recentOther: NO_WINDOW,
      }
    }
    case 'calendar': {
      const { every, startsOn } = options
      if (startsOn > STARTS_ON_MAX[every]) {
        throw new WindowError('/startsOn', `must be at most ${STARTS_ON_MAX[every]} for windows of a ${every}`)
      }
      const timezone = parseTimezone(options.timezone)
      return {
        kind: 'calendar',
        every,
        timezone,
        startsOn,
        definition: `calendar ${every} ${timezone} ${startsOn}`,
        recent: NO_WINDOW,
        recentOther: NO_WINDOW,
      }
    }
    case 'sliding': {
      const { everySeconds, slots } = options
      const lengthMs = everySeconds * 1000
      // Rounded down: the slots that cover the length are one more rather than each a little longer.
      const slotMs = Math.floor(lengthMs / slots)
      return { kind: 'sliding', definition: `sliding ${everySeconds}s/${slots}`, lengthMs, slotMs }
    }
    case 'rate':
      return rateWindow(options.everySeconds, options.burst ?? null, limit)
  }
}

/** Parts of a window in which its pace lets take as much at once as that part's share. */
const PACE_PARTS = 24
/** Each is one more look-up for a subject that was not seen lately, and one more bucket of one that is seen all the time. */
const STRETCHES_MAX = 8
/** Length of a calendar's periods, roughly. */
const PERIOD_DAYS = { day: 1, week: 7, month: 30, year: 365 } as const

/** The rate that a quota of this window is slowed down to: a whole 24th of it, about, may be taken at once. */
export function paceWindow(spec: WindowSpec): RateWindow {
  const seconds =
    spec.kind === 'calendar' ? PERIOD_DAYS[spec.every] * 86_400 : spec.kind === 'fixed' ? spec.everySeconds : 3_600
  return rateWindow(Math.max(1, Math.round(seconds / PACE_PARTS)), null, null)
}

function rateWindow(everySeconds: number, burst: number | null, limit: number | null): RateWindow {
  const periodMs = everySeconds * 1000
  const keptMs = Math.max(HOUR_MS, 2 * periodMs)
  const drainMs = burst === null || !limit ? 0 : (burst / limit) * periodMs
  const stretches = Math.min(STRETCHES_MAX, Math.max(1, Math.ceil(drainMs / keptMs)))
  return { kind: 'rate', definition: `rate ${everySeconds}s`, periodMs, burst, keptMs, stretches }
}

/** For so long after its stretch a bucket of the rate is still known. */
export const idleMsMax = ({ keptMs, stretches }: RateWindow): number => keptMs * stretches

/** True for windows that begin and end. */
export const isResetting = (spec: WindowSpec): spec is ResettingWindow =>
  spec.kind === 'fixed' || spec.kind === 'calendar'

/**
 * The bucket in which what happens at the instant is counted: the window; the slot of a sliding window, until it counts
 * no more; for a rate and for what is held, a stretch so long that what was spent in it has drained, or is held no more,
 * after another one.
 */
export function bucketAt(spec: WindowSpec, atMs: number): Window {
  switch (spec.kind) {
    case 'fixed':
    case 'calendar':
      return windowAt(spec, atMs)
    case 'sliding':
      return stretchAt(spec.slotMs, spec.lengthMs, atMs)
    case 'rate':
      return stretchAt(spec.keptMs, idleMsMax(spec), atMs)
    case 'held':
      return stretchAt(HELD_MS_MAX, HELD_MS_MAX, atMs)
  }
}

function stretchAt(everyMs: number, lengthMs: number, atMs: number): Window {
  const startMs = Math.floor(atMs / everyMs) * everyMs
  return { startMs, endMs: startMs + everyMs + lengthMs }
}

/** How long the window that holds the instant is; of one that does not reset, the stretch in which use counts. */
export function lengthAt(spec: Exclude<WindowSpec, HeldWindow>, atMs: number): number {
  if (spec.kind === 'sliding') return spec.lengthMs
  if (spec.kind === 'rate') return spec.periodMs
  const { startMs, endMs } = windowAt(spec, atMs)
  return endMs - startMs
}

/** The window that holds the instant. 5 ns when it is one of the last two asked for. */
export function windowAt(spec: ResettingWindow, atMs: number): Window {
  const recent = spec.recent
  if (atMs >= recent.startMs && atMs < recent.endMs) return recent
  const other = spec.recentOther
  const window =
    atMs >= other.startMs && atMs < other.endMs
      ? other
      : spec.kind === 'fixed'
        ? fixedWindowAt(spec, atMs)
        : calendarWindowAt(spec, atMs)
  spec.recentOther = recent
  spec.recent = window
  return window
}

const SERIES_STEPS_MINUTES = [60, 30, 20, 15, 10, 5, 2, 1] as const
const SERIES_STEPS_PER_WINDOW = 60

/** Step of a usage series over a window of this length: a 60th of it, between a minute and an hour, dividing the hour. */
export function seriesStepMs(windowMs: number): number {
  const idealMs = windowMs / SERIES_STEPS_PER_WINDOW
  const minutes = SERIES_STEPS_MINUTES.find(step => step * MINUTE_MS <= idealMs) ?? 1
  return minutes * MINUTE_MS
}

function parseAnchor(anchor: string): number {
  const atMs = instantOf(anchor)
  if (atMs === null) throw new WindowError('/anchor', 'must be an instant with a zone, such as 2026-01-01T00:00:00Z')
  return atMs
}

/**
 * Unix milliseconds of an ISO 8601 instant with a zone, `null` for any other text. `Date` would read the 30th of February
 * as the 2nd of March, and skip what stands in parentheses.
 */
export function instantOf(text: string): number | null {
  try {
    return Temporal.Instant.from(text).epochMilliseconds
  } catch {
    return null
  }
}

function parseTimezone(timezone: string): string {
  try {
    return Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(timezone).timeZoneId
  } catch {
    throw new WindowError('/timezone', `is not a time zone: ${timezone}`)
  }
}

function fixedWindowAt(spec: FixedWindow, atMs: number): Window {
  const everyMs = spec.everySeconds * 1000
  const startMs = spec.anchorMs + Math.floor((atMs - spec.anchorMs) / everyMs) * everyMs
  return { startMs, endMs: startMs + everyMs }
}

function calendarWindowAt(spec: CalendarWindow, atMs: number): Window {
  // Whole milliseconds: an instant between two of them is in the window of the earlier one.
  const here = Temporal.Instant.fromEpochMilliseconds(Math.floor(atMs)).toZonedDateTimeISO(spec.timezone)
  let first = firstDay(spec, here.toPlainDate())
  let next = first.add(PERIODS[spec.every])
  // Where clocks go back over midnight a date comes twice. Its second coming belongs to the window that has begun.
  while (startOf(next, spec.timezone) <= atMs) {
    first = next
    next = first.add(PERIODS[spec.every])
  }
  return { startMs: startOf(first, spec.timezone), endMs: startOf(next, spec.timezone) }
}

const PERIODS = { day: { days: 1 }, week: { days: 7 }, month: { months: 1 }, year: { years: 1 } } as const

function firstDay(spec: CalendarWindow, date: Temporal.PlainDate): Temporal.PlainDate {
  switch (spec.every) {
    case 'day':
      return date
    case 'week':
      return date.subtract({ days: (date.dayOfWeek - spec.startsOn + 7) % 7 })
    case 'month': {
      const first = date.with({ day: spec.startsOn })
      return Temporal.PlainDate.compare(first, date) > 0 ? first.subtract({ months: 1 }) : first
    }
    case 'year': {
      const first = date.with({ month: spec.startsOn, day: 1 })
      return Temporal.PlainDate.compare(first, date) > 0 ? first.subtract({ years: 1 }) : first
    }
  }
}

/** The first instant of a date; later than midnight where the clock skips it. */
function startOf(date: Temporal.PlainDate, timezone: string): number {
  return date.toZonedDateTime(timezone).epochMilliseconds
}
