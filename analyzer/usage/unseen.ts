/** What a subject's calls show for the first time: models, networks of clients. */
import type { ClickHouseClient } from '@clickhouse/client'
import { listed, readRows, type Selection, type SubjectValues } from './selection.ts'

/** New values that are named; the others are counted. */
const NAMED_MAX = 10

/** Where a value is, and the time column that finds it cheapest: models are in the hourly projection, networks are not. */
const TRAITS = {
  model: { value: 'model', time: 'hour' },
  // Addresses that are kept in full are compared by the network that would be kept of them.
  network: {
    value: `multiIf(isIPv4String(client_ip), toString(IPv4CIDRToRange(toIPv4(client_ip), 24).1),
       isIPv6String(client_ip), toString(IPv6CIDRToRange(toIPv6(client_ip), 48).1), client_ip)`,
    time: 'minute',
  },
} as const
export type Trait = keyof typeof TRAITS

export interface UnseenAsk {
  trait: Trait
  /** What is known is of the time from here on, whole hours. */
  knownFromMs: number
  /** What is new is of the time from here on, whole hours. */
  fromMs: number
  toMs: number
}

export interface Unseen {
  subject: SubjectValues
  /** Before `fromMs`: calls that show a value, and how many different ones. */
  callsBefore: number
  valuesBefore: number
  /** Some of the values that were not seen before, the most used first, and how many there are in all. */
  values: { value: string; calls: number }[]
  valuesInAll: number
}

type UnseenRow = [...subject: string[], number, number, [string, number][], number]

/** Reads the subjects of the selection with values that they did not show before. */
export async function readUnseen(client: ClickHouseClient, selection: Selection, ask: UnseenAsk): Promise<Unseen[]> {
  const { trait, knownFromMs, fromMs, toMs } = ask
  const found: Unseen[] = []
  const params = {
    ...selection.match.params,
    knownFromSeconds: Math.floor(knownFromMs / 1000),
    newFromSeconds: Math.floor(fromMs / 1000),
    toSeconds: Math.ceil(toMs / 1000),
  }
  await readRows<UnseenRow>(client, unseenSql(selection, trait), params, row => {
    const [callsBefore, valuesBefore, values, valuesInAll] = row.slice(-4) as [
      number,
      number,
      [string, number][],
      number,
    ]
    const named = values.map(([value, calls]) => ({ value, calls }))
    found.push({ subject: row.slice(0, -4) as string[], callsBefore, valuesBefore, values: named, valuesInAll })
  })
  return found
}

/** By subject: what its calls showed before, and what they show for the first time. */
export function unseenSql({ columns, match }: Selection, trait: Trait): string {
  const { value, time } = TRAITS[trait]
  const subject = listed(columns)
  const grouped = columns.length === 0 ? '' : `GROUP BY ${columns.join(', ')}`
  return `SELECT ${subject}sum(before), countIf(before > 0),
     arraySlice(arrayReverseSort(one -> one.2, groupArrayIf((value, recent), before = 0)), 1, ${NAMED_MAX}),
     countIf(before = 0) AS new_values
   FROM (
     SELECT ${subject}value, sumIf(calls, is_recent = 0) AS before, sumIf(calls, is_recent = 1) AS recent
     FROM (
       SELECT ${subject}${value} AS value, ${time} >= toDateTime({newFromSeconds:UInt32}) AS is_recent, count() AS calls
       FROM calls
       WHERE ${time} >= toDateTime({knownFromSeconds:UInt32}) AND ${time} < toDateTime({toSeconds:UInt32})
         AND ${match.sql}
       GROUP BY ${subject}value, is_recent)
     WHERE value != ''
     GROUP BY ${subject}value)
   ${grouped}
   HAVING new_values > 0`
}
