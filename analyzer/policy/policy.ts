/**
 * What holds now: the quotas, and what was adjusted for single subjects. One value that is replaced as a whole by each
 * change, so that a decision sees all of a change or nothing of it.
 */
import type { Block, Grant, Override, Reset } from './adjustment.ts'
import type { Quota } from './quota.ts'
import { indexQuotas } from './quota-index.ts'
import { subjectKey } from './subject.ts'

/** What somebody may use in a window. */
interface Allowance {
  /** The quota's limit, or the subject's own, and what was granted. */
  readonly limit: number
  /** Of what was used in the window: so much counts no more. */
  readonly forgiven: number
}

export interface Policy {
  readonly quotas: readonly Quota[]
  readonly byName: ReadonlyMap<string, Quota>
  /** The quotas that can match calls of the tenant, in their order. */
  candidates(tenant: string | null): readonly Quota[]
  readonly blocks: readonly Block[]
  /** What a subject may use in the window that begins at `startMs`, as it is at `nowMs`. */
  allowance(quota: Quota, subject: string, startMs: number, nowMs: number): Allowance
}

export interface Adjustments {
  readonly overrides: readonly Override[]
  readonly grants: readonly Grant[]
  readonly resets: readonly Reset[]
  readonly blocks: readonly Block[]
}

export const NO_ADJUSTMENTS: Adjustments = { overrides: [], grants: [], resets: [], blocks: [] }

/** Adjustments of one subject. */
interface OfSubject {
  limit: number | null
  grants: Grant[]
  resets: Reset[]
}

interface OfQuota {
  bySubject: Map<string, OfSubject>
  /** For each subject. */
  grants: Grant[]
}

/** Adjustments of quotas that there are not, or of subjects that a quota does not tell apart, have no effect. */
export function createPolicy(quotas: readonly Quota[], adjustments: Adjustments = NO_ADJUSTMENTS): Policy {
  const byName = new Map(quotas.map(quota => [quota.name, quota]))
  const adjusted = indexAdjustments(byName, adjustments)
  return {
    quotas,
    byName,
    candidates: indexQuotas(quotas),
    blocks: adjustments.blocks,
    allowance(quota, subject, startMs, nowMs) {
      const ofQuota = adjusted.get(quota.name)
      if (ofQuota === undefined) return { limit: quota.limit, forgiven: 0 }
      const own = ofQuota.bySubject.get(subject)
      const granted = activeAmount(ofQuota.grants, nowMs) + activeAmount(own?.grants ?? [], nowMs)
      const reset = own?.resets.find(({ fromMs }) => fromMs === startMs)
      return { limit: (own?.limit ?? quota.limit) + granted, forgiven: reset?.used ?? 0 }
    },
  }
}

function indexAdjustments(
  byName: ReadonlyMap<string, Quota>,
  { overrides, grants, resets }: Adjustments,
): Map<string, OfQuota> {
  const found = new Map<string, OfQuota>()
  const ofQuota = (name: string) => {
    const known: OfQuota = found.get(name) ?? { bySubject: new Map(), grants: [] }
    found.set(name, known)
    return known
  }
  const ofSubject = (name: string, subject: Readonly<Record<string, string>>): OfSubject | null => {
    const key = keyOf(byName.get(name), subject)
    if (key === null) return null
    const { bySubject } = ofQuota(name)
    const known = bySubject.get(key) ?? { limit: null, grants: [], resets: [] }
    bySubject.set(key, known)
    return known
  }
  for (const { quota, subject, limit } of overrides) {
    const own = ofSubject(quota, subject)
    if (own !== null) own.limit = limit
  }
  for (const grant of grants) {
    if (grant.subject === null) ofQuota(grant.quota).grants.push(grant)
    else ofSubject(grant.quota, grant.subject)?.grants.push(grant)
  }
  for (const reset of resets) ofSubject(reset.quota, reset.subject)?.resets.push(reset)
  return found
}

/** The key of a subject that is told by names; `null` when the quota tells its subjects apart by others. */
export function keyOf(quota: Quota | undefined, subject: Readonly<Record<string, string>>): string | null {
  if (quota === undefined || Object.keys(subject).length !== quota.per.length) return null
  const values: string[] = []
  for (const { name } of quota.per) {
    const value = Object.hasOwn(subject, name) ? subject[name] : undefined
    if (value === undefined) return null
    values.push(value)
  }
  return subjectKey(values)
}

function activeAmount(grants: readonly Grant[], nowMs: number): number {
  let amount = 0
  for (const grant of grants) if (grant.fromMs <= nowMs && nowMs < grant.untilMs) amount += grant.amount
  return amount
}
