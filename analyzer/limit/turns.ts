/** Whose turn it is to be compared: when each series was compared last, and what its quota covered then. */
import { matchSql, type Quota } from '../policy/quota.ts'

export interface Turns {
  /** False for a quota that was never compared, or has been changed to cover other calls since. */
  isKnown(quota: Quota): boolean
  /** The quota that waited longest comes first. Not the window: one that is always new would be the first every time. */
  inOrder<Wanted extends { readonly quota: Quota }>(wanted: readonly Wanted[]): Wanted[]
  /** Those were compared together. */
  taken(quotas: readonly Quota[]): void
  /** Of quotas that are gone nothing is kept: one that comes back is compared as if it were new. */
  keepOnly(quotas: readonly Quota[]): void
}

export function createTurns(): Turns {
  const bySeries = new Map<string, { turn: number; covered: string }>()
  let turn = 0
  const turnOf = ({ quota }: { readonly quota: Quota }) => bySeries.get(quota.series)?.turn ?? 0
  return {
    isKnown: quota => bySeries.get(quota.series)?.covered === coveredBy(quota),
    inOrder: wanted => wanted.toSorted((one, other) => turnOf(one) - turnOf(other)),
    taken(quotas) {
      turn += 1
      for (const quota of quotas) bySeries.set(quota.series, { turn, covered: coveredBy(quota) })
    },
    keepOnly(quotas) {
      const there = new Set(quotas.map(({ series }) => series))
      for (const series of bySeries.keys()) if (!there.has(series)) bySeries.delete(series)
    },
  }
}

/** Equal for quotas of one series that the same call records spend, and in the same shares. */
const coveredBy = (quota: Quota): string => JSON.stringify([matchSql(quota), quota.counts])
