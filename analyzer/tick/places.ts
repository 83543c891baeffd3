/** Who is followed where there are too many subjects: those that called lately, of whichever quota, before all others. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { Followed } from './making.ts'
import { countLive } from './quota-series.ts'
import type { Shard } from './shard.ts'

/**
 * Answers how many places to keep for the other quotas when one is read: as many of their subjects called lately and have
 * none. Of those that are read after it that is counted now; the others know it since they were read.
 */
export async function countKept(
  client: ClickHouseClient,
  following: readonly Followed[],
  { toLoad, nowMs, shard }: { toLoad: readonly Followed[]; nowMs: number; shard: Shard },
): Promise<(one: Followed) => number> {
  const live = new Map<Followed, number>()
  for (const one of toLoad.slice(1)) {
    // One that cannot be read says so when it is its turn.
    live.set(one, await countLive(client, one.quota, { nowMs, shard }).catch(() => 0))
  }
  const wanting = (other: Followed): number => {
    const { series } = other
    const count = series?.loadedAtMs === nowMs ? undefined : live.get(other)
    return count === undefined ? (series?.liveCut ?? 0) : Math.max(0, count - (series?.subjects.size ?? 0))
  }
  return one => following.reduce((sum, other) => sum + (other === one ? 0 : wanting(other)), 0)
}
