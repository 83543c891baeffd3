/**
 * What holds now: the quotas, and what was adjusted for single subjects. One value that is replaced as a whole by each
 * change, so that a decision sees all of a change or nothing of it.
 */
import type { LimitStep } from '../forecast/limit-steps.ts'
import type { Block, Grant, Learned, Override, Pace, Reset } from './adjustment.ts'
import { elsewhereNow } from './learned.ts'
import { paceQuotaOf } from './pace.ts'
import type { Quota } from './quota.ts'
import { indexQuotas } from './quota-index.ts'
import { type Subject, subjectKey, subjectNamed } from './subject.ts'

/** What somebody may use. */
export interface Allowance {
  /** The quota's limit, or the subject's own, and what was granted; null where nobody has said it yet: nothing is denied. */
  readonly limit: number | null
  /** Not null: the limit is 0 until then, as the provider refuses. */
  readonly deniedUntilMs: number | null
  /** Units of the window that were used elsewhere, not through these gateways, or through them before a reset by hand. */
  readonly elsewhere: number
  /** The last reset by hand: calls that began before count no more. 0 without one. */
  readonly sinceMs: number
}

/** From when on calls of a subject count. */
interface SubjectReset {
  readonly subject: Subject
  readonly sinceMs: number
}

export interface Policy {
  readonly quotas: readonly Quota[]
  /** These, each followed by its pace where it has one: all that decisions are made by. */
  readonly enforced: readonly Quota[]
  /** Of the enforced. */
  readonly byName: ReadonlyMap<string, Quota>
  /** The enforced quotas that can match calls of the tenant, in their order. */
  candidates(tenant: string | null): readonly Quota[]
  readonly blocks: readonly Block[]
  /** What a subject may use now. */
  allowance(quota: Quota, subject: string, nowMs: number): Allowance
  /**
   * The subject's limits from `fromMs` to before `toMs`, ascending: the first one holds at `fromMs`, the next changes follow.
   * Empty where nobody has said it yet.
   */
  limits(quota: Quota, subject: string, range: { fromMs: number; toMs: number }): readonly LimitStep[]
  /** The resets by hand that hold now, by the keys of the quota's subjects. */
  resets(quota: Quota, nowMs: number): ReadonlyMap<string, SubjectReset>
  /** Why that is not the quota's limit. */
  adjusted(quota: Quota, subject: string, nowMs: number): Adjusted
}

/** Changes of a limit that are looked ahead to, the first ones and the last; each asks the calibrator once more. */
const CHANGES_MAX = 8

/** What was adjusted for a subject and holds now. */
export interface Adjusted {
  /** The subject's own limit; null without one. */
  readonly override: number | null
  readonly grants: readonly Grant[]
  readonly reset: Reset | null
  readonly learned: Learned | null
  readonly pace: Pace | null
}

export interface Adjustments {
  readonly overrides: readonly Override[]
  readonly grants: readonly Grant[]
  readonly resets: readonly Reset[]
  readonly learned: readonly Learned[]
  readonly paces: readonly Pace[]
  readonly blocks: readonly Block[]
}

export const NO_ADJUSTMENTS: Adjustments = {
  ...{ overrides: [], grants: [], resets: [], learned: [], paces: [], blocks: [] },
}

/** Adjustments of one subject. */
interface OfSubject {
  limit: number | null
  grants: Grant[]
  resets: Reset[]
  learned: Learned | null
  pace: Pace | null
}

interface OfQuota {
  bySubject: Map<string, OfSubject>
  /** For each subject. */
  grants: Grant[]
}

/** Adjustments of quotas that there are not, or of subjects that a quota does not tell apart, have no effect. */
export function createPolicy(quotas: readonly Quota[], adjustments: Adjustments = NO_ADJUSTMENTS): Policy {
  const enforced = quotas.flatMap(quota => [quota, paceQuotaOf(quota) ?? []].flat())
  const byName = new Map(enforced.map(quota => [quota.name, quota]))
  const adjusted = indexAdjustments(byName, adjustments)
  return {
    quotas,
    enforced,
    byName,
    candidates: indexQuotas(enforced),
    blocks: adjustments.blocks,
    allowance(quota, subject, nowMs) {
      const ofQuota = adjusted.get(quota.name)
      if (ofQuota === undefined) return { limit: quota.limit, deniedUntilMs: null, elsewhere: 0, sinceMs: 0 }
      return allowanceUnder(quota, adjustedNow(ofQuota, subject, nowMs), nowMs)
    },
    limits(quota, subject, { fromMs, toMs }) {
      const ofQuota = adjusted.get(quota.name)
      if (ofQuota === undefined) return quota.limit === null ? [] : [{ fromMs, limit: quota.limit }]
      const grants = [...ofQuota.grants, ...(ofQuota.bySubject.get(subject)?.grants ?? [])]
      const instants = new Set(grants.flatMap(grant => [grant.fromMs, grant.untilMs]))
      const later = [...instants].filter(atMs => atMs > fromMs && atMs < toMs).toSorted((a, b) => a - b)
      const steps: LimitStep[] = []
      const add = (atMs: number) => {
        const limit = limitUnder(quota, adjustedNow(ofQuota, subject, atMs))
        if (limit !== null && limit !== steps.at(-1)?.limit) steps.push({ fromMs: atMs, limit })
      }
      for (const atMs of [fromMs, ...later]) {
        add(atMs)
        if (steps.length === CHANGES_MAX) break
      }
      add(later.at(-1) ?? fromMs)
      return steps
    },
    resets(quota, nowMs) {
      const found = new Map<string, SubjectReset>()
      for (const [key, { resets }] of adjusted.get(quota.name)?.bySubject ?? []) {
        const reset = lastReset(resets, nowMs)
        if (reset === null) continue
        found.set(key, { subject: subjectNamed(quota, reset.subject), sinceMs: reset.fromMs })
      }
      return found
    },
    adjusted(quota, subject, nowMs) {
      const ofQuota = adjusted.get(quota.name)
      return ofQuota === undefined ? NOTHING : adjustedNow(ofQuota, subject, nowMs)
    },
  }
}

const NOTHING: Adjusted = { override: null, grants: [], reset: null, learned: null, pace: null }

function limitUnder(quota: Quota, { override, grants, learned, pace }: Adjusted): number | null {
  const limit = override ?? quota.limit ?? learned?.limit ?? pace?.amount ?? null
  return limit === null ? null : grants.reduce((sum, { amount }) => sum + amount, limit)
}

function allowanceUnder(quota: Quota, now: Adjusted, nowMs: number): Allowance {
  const { reset, learned } = now
  const sinceMs = reset?.fromMs ?? 0
  const untilMs = learned?.deniedUntilMs ?? null
  const deniedUntilMs = untilMs !== null && nowMs < untilMs ? untilMs : null
  return {
    limit: deniedUntilMs === null ? limitUnder(quota, now) : 0,
    deniedUntilMs,
    elsewhere: elsewhereNow(learned, { sinceMs, nowMs }),
    sinceMs,
  }
}

const isActiveAt =
  (nowMs: number) =>
  ({ fromMs, untilMs }: { fromMs: number; untilMs: number }): boolean =>
    fromMs <= nowMs && nowMs < untilMs

const lastReset = (resets: readonly Reset[], nowMs: number): Reset | null => resets.findLast(isActiveAt(nowMs)) ?? null

function adjustedNow({ bySubject, grants }: OfQuota, subject: string, nowMs: number): Adjusted {
  const own = bySubject.get(subject)
  return {
    override: own?.limit ?? null,
    grants: [...grants, ...(own?.grants ?? [])].filter(isActiveAt(nowMs)),
    // It ends with the window that was open, so that it does not reach into the next one.
    reset: own === undefined ? null : lastReset(own.resets, nowMs),
    learned: own?.learned ?? null,
    pace: own?.pace && nowMs < own.pace.untilMs ? own.pace : null,
  }
}

function indexAdjustments(
  byName: ReadonlyMap<string, Quota>,
  { overrides, grants, resets, learned, paces }: Adjustments,
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
    const known: OfSubject = bySubject.get(key) ?? { limit: null, grants: [], resets: [], learned: null, pace: null }
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
  for (const one of learned) {
    // A quota that was given a limit of its own does not listen any more.
    const own = byName.get(one.quota)?.limit === null ? ofSubject(one.quota, one.subject) : null
    if (own !== null) own.learned = one
  }
  for (const pace of paces) {
    const quota = byName.get(pace.quota)
    const own = quota && ofSubject(paceQuotaOf(quota)?.name ?? '', pace.subject)
    if (own) own.pace = pace
  }
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
