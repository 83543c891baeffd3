/** Reads what `series.ts` reads, one subject after the other: for series that are kept packed. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { Condition } from './fresh.ts'
import type { Entry } from './packed.ts'
import { listed, readRows, type Selection, type SubjectValues } from './selection.ts'
import { entryOf, hoursSql, type SeriesRow, stepsSql, subjectOf } from './series.ts'
import type { Grid } from './steps.ts'

/** What one subject has in a range, its slots ascending; one that was refused some comes twice. */
export type HandleEntries = (subject: SubjectValues, entries: readonly Entry[]) => void

interface Range {
  fromMs: number
  toMs: number
}

const HOUR_SECONDS = 3_600

/** Reads complete hours in `[fromMs, toMs)`, whole UTC hours both. Slots are hours since 1970. */
export async function readHourEntries(
  client: ClickHouseClient,
  selection: Selection,
  range: Range,
  handle: HandleEntries,
): Promise<void> {
  if (range.fromMs >= range.toMs) return
  const sql = inOrder(hoursSql(selection), selection, 'hour_seconds')
  const { add, end } = gathering(handle, HOUR_SECONDS)
  await readRows<SeriesRow>(client, sql, { ...selection.match.params, ...range }, add)
  end()
}

/**
 * Reads the calls in `[fromMs, toMs)`. Slots are steps of the grid. With `fresh`, only of subjects that have calls for
 * which this condition holds.
 */
export async function readStepEntries(
  client: ClickHouseClient,
  selection: Selection,
  { grid, fresh, ...range }: Range & { grid: Grid; fresh?: Condition },
  handle: HandleEntries,
): Promise<void> {
  if (range.fromMs >= range.toMs) return
  const { startMs, stepMs } = grid
  const sql = inOrder(stepsSql(selection, fresh?.sql), selection, 'step')
  const { add, end } = gathering(handle, 1)
  await readRows<SeriesRow>(
    client,
    sql,
    { ...selection.match.params, ...fresh?.params, ...range, startMs, stepMs },
    add,
  )
  end()
}

const inOrder = (sql: string, { columns }: Selection, slot: string): string =>
  `${sql}\n   ORDER BY ${listed(columns)}${slot}`

/** Hands on a subject's rows when those of the next one begin, and at the end. */
function gathering(handle: HandleEntries, slotSize: number): { add: (row: SeriesRow) => void; end: () => void } {
  let subject: SubjectValues = []
  let entries: Entry[] = []
  const end = () => {
    if (entries.length > 0) handle(subject, entries)
  }
  const add = (row: SeriesRow) => {
    const values = subjectOf(row)
    if (subject.length !== values.length || values.some((value, index) => value !== subject[index])) {
      end()
      subject = values
      entries = []
    }
    const entry = entryOf(row)
    entry.slot /= slotSize
    entries.push(entry)
  }
  return { add, end }
}
