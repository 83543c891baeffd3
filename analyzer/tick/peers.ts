/** Others like a subject: of the same tenant, model, route and whatever else the quota tells apart, but another consumer. */
import { setImmediate } from 'node:timers/promises'
import { type Peers, toPeers } from '../forecast/peers.ts'
import type { Quota } from '../policy/quota.ts'
import type { SubjectValues } from '../usage/selection.ts'
import type { Grid } from '../usage/steps.ts'
import type { SubjectSeries } from './subject-series.ts'

const DAY_MS = 86_400_000
/** Subjects whose series are looked at before others may answer requests: some milliseconds. */
const LOOKED_AT_ONCE = 1_000

/** Finds the peers of a subject: the nearest group that has enough of them. */
export type PeersOf = (subject: SubjectValues) => Peers | null

/**
 * Groups the subjects of a quota by what they share. Only those count that are known for a day, or for a window where
 * that is shorter: a rate of the first hours is that of whoever tries something out.
 */
export async function groupPeers(
  quota: Quota,
  grid: Grid,
  subjects: SubjectSeries,
  { nowMs, windowMs }: { nowMs: number; windowMs: number },
): Promise<PeersOf> {
  const groups = groupsOf(quota)
  const rates = groups.map(() => new Map<string, number[]>())
  // What is dated later says nothing of a rate.
  const last = Math.min(grid.steps, Math.ceil((nowMs - grid.startMs) / grid.stepMs))
  for (const [index, key] of [...subjects.keys()].entries()) {
    if (index % LOOKED_AT_ONCE === LOOKED_AT_ONCE - 1) await setImmediate()
    const one = subjects.get(key)
    if (!one) continue
    const { subject, used } = one
    let first = -1
    let sum = 0
    for (let step = 0; step < last; step++) {
      const units = used[step] ?? 0
      sum += units
      if (first < 0 && units > 0) first = step
    }
    const knownMs = first < 0 ? 0 : nowMs - (grid.startMs + first * grid.stepMs)
    if (knownMs < Math.min(DAY_MS, windowMs)) continue
    const rate = sum / knownMs
    groups.forEach(({ keyOf }, index) => {
      const key = keyOf(subject)
      const known = rates[index]?.get(key)
      if (known) known.push(rate)
      else rates[index]?.set(key, [rate])
    })
  }
  const peers = rates.map(
    (byKey, index) => new Map(Array.from(byKey, ([key, some]) => [key, toPeers(some, groups[index]?.who ?? '')])),
  )
  return subject => {
    for (const [index, { keyOf }] of groups.entries()) {
      const found = peers[index]?.get(keyOf(subject))
      if (found) return found
    }
    return null
  }
}

interface Group {
  keyOf: (subject: SubjectValues) => string
  who: string
}

/** From near to far: all dimensions but the consumer's, the tenant's, none. */
function groupsOf({ per }: Quota): Group[] {
  const shared = per.map(({ field }) => field !== 'consumer')
  const isTenant = per.map(({ field }) => field === 'tenant')
  const keyOf = (isKept: readonly boolean[]) => (subject: SubjectValues) =>
    JSON.stringify(subject.filter((_, index) => isKept[index] === true))
  const names = per.filter((_, index) => shared[index]).map(({ name }) => name)
  return [
    { keyOf: keyOf(shared), who: names.length > 0 ? `subjects with the same ${names.join(', ')}` : 'subjects' },
    { keyOf: keyOf(isTenant), who: 'subjects of the same tenant' },
    { keyOf: () => '', who: 'subjects of this quota' },
  ]
}
