/**
 * What of a check's charges stays when the record of its call comes. A log that does not say who called makes records of
 * nobody; the check that such a record finds knew. What that took of a subject stays then, at the record's cost where
 * there is one, and of nobody is only noted that there is a record: else the limits of whoever called would never hold.
 */
import type { RecordBatch, RecordEffect } from './limit-store.ts'

export interface Staying {
  /** Units that stay of a charge; null where it is taken out. */
  of(series: string, subject: string, amount: number): number | null
  /** True where something stayed: of what the record spends there, only that it exists is new. */
  isIn(series: string): boolean
}

/** What is taken out whole. */
export const NOTHING_STAYS: Staying = { of: () => null, isIn: () => false }

export function stayingOf(
  { isNameless, spends }: RecordEffect,
  { checksOnly, held }: Pick<RecordBatch, 'checksOnly' | 'held'>,
): Staying {
  const stayed = new Set<string>()
  return {
    of(series, subject, amount) {
      if (checksOnly.has(series)) return amount
      if (!isNameless || held.has(series)) return null
      const spend = spends.find(one => one.series === series)
      if (spend === undefined) return amount
      if (spend.subject === subject) return null
      // Of several charges of one call, the first has all of its cost.
      const isFirst = !stayed.has(series)
      stayed.add(series)
      return isFirst ? spend.amount : 0
    },
    isIn: series => stayed.has(series),
  }
}
