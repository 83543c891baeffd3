/**
 * The hours of subjects before the exact part of their series, packed. Quotas that add up the same calls by the same
 * dimensions share them, whatever their windows; and when a quota is read again, only hours that are new are read.
 * Reading is idempotent: an hour that is read again is overwritten.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import { NOWHERE, type Place } from '../usage/blocks.ts'
import { readHourEntries } from '../usage/entries.ts'
import { createPacked, type Packed } from '../usage/packed.ts'
import { keyOfSubject, type Selection, type SubjectValues } from '../usage/selection.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Of so many subjects and hours at once, which the store can sort in some hundred MB. */
const SUBJECT_HOURS_MAX = 3_000_000
/** All hours are read again this often: heals whatever was missed, and forgets what is older than any series. */
const WHOLE_EVERY_MS = DAY_MS
/** A series that was made an hour ago begins with the hours of then. */
const KEPT_LONGER_MS = 2 * HOUR_MS

/** Of the subjects of one selection. */
export interface Hours {
  readonly packed: Packed
  /** By `keyOfSubject`; the key and the values are here so that they are held once. */
  readonly subjects: Map<string, SubjectHoursAt>
  /** Calls came that are not in them. */
  isStale: boolean
}

interface SubjectHoursAt {
  readonly key: string
  readonly subject: SubjectValues
  at: Place
  seenAtMs: number
}

export interface HoursAsk {
  nowMs: number
  /** Hours before this are read, a whole hour. */
  untilMs: number
  /** How many subjects the selection has, about. */
  subjects: number
  /** It has not all subjects: the next time, others may be among them. */
  isCut: boolean
}

export interface SharedHours {
  /** Brings the hours of a selection up to date. */
  read(selection: Selection, ask: HoursAsk): Promise<Hours>
  /** Forgets those that were not asked for since. */
  forget(sinceMs: number): void
}

interface Known extends Hours {
  untilMs: number
  /** When all were read, and when they were asked for. */
  wholeAtMs: number
  askedAtMs: number
}

export function createSharedHours(client: ClickHouseClient): SharedHours {
  const known = new Map<string, Known>()
  return {
    async read(selection, ask) {
      const { nowMs, isCut } = ask
      const key = JSON.stringify([selection.unit, selection.columns, selection.match])
      const before = isCut ? undefined : known.get(key)
      const hours: Known = before ?? {
        ...{ packed: createPacked(), subjects: new Map(), isStale: true, untilMs: 0, wholeAtMs: 0, askedAtMs: 0 },
      }
      await bringUpToDate(client, selection, hours, ask)
      hours.askedAtMs = nowMs
      if (!isCut) known.set(key, hours)
      return hours
    },
    forget(sinceMs) {
      for (const [key, { askedAtMs }] of known) if (askedAtMs < sinceMs) known.delete(key)
    },
  }
}

/** Hours before are in no series. */
export const hoursFromMs = (nowMs: number): number =>
  Math.floor((nowMs - CALLS_RETENTION_DAYS * DAY_MS - KEPT_LONGER_MS) / HOUR_MS) * HOUR_MS

async function bringUpToDate(
  client: ClickHouseClient,
  selection: Selection,
  hours: Known,
  ask: HoursAsk,
): Promise<void> {
  const { nowMs, untilMs } = ask
  const isWhole = hours.isStale || nowMs < hours.wholeAtMs || nowMs >= hours.wholeAtMs + WHOLE_EVERY_MS
  const beginMs = hoursFromMs(nowMs)
  // What comes while they are read asks for another reading.
  if (isWhole) hours.isStale = false
  const sliceMs = Math.max(1, Math.floor(SUBJECT_HOURS_MAX / Math.max(1, ask.subjects))) * HOUR_MS
  try {
    for (let fromMs = isWhole ? beginMs : hours.untilMs; fromMs < untilMs; fromMs += sliceMs) {
      const range = { fromMs, toMs: Math.min(untilMs, fromMs + sliceMs) }
      // With the first hours goes what is older than any series.
      const slots = { from: fromMs === beginMs ? 0 : fromMs / HOUR_MS, to: range.toMs / HOUR_MS }
      await readHourEntries(client, selection, range, (subject, entries) => {
        const key = keyOfSubject(subject)
        const one = hours.subjects.get(key) ?? { key, subject, at: NOWHERE, seenAtMs: nowMs }
        one.at = hours.packed.replace(one.at, slots, entries)
        one.seenAtMs = nowMs
        hours.subjects.set(key, one)
      })
    }
  } catch (error) {
    hours.isStale = true
    throw error
  }
  hours.untilMs = isWhole ? untilMs : Math.max(hours.untilMs, untilMs)
  if (!isWhole) return
  hours.wholeAtMs = nowMs
  for (const [key, { at, seenAtMs }] of hours.subjects) {
    if (seenAtMs === nowMs) continue
    hours.packed.forget(at)
    hours.subjects.delete(key)
  }
  hours.packed.gather(hours.subjects.values())
}
