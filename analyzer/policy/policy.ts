/**
 * What holds now: the quotas, and what was adjusted for single subjects. Each change makes another one, so that whoever
 * keeps something made from it sees that; what was adjusted is shared by all of them, as it is by the last change.
 */
import type { LimitStep } from '../forecast/limit-steps.ts'
import { bucketAt, idleMsMax } from '../usage/window.ts'
import type { Block, Grant, Learned, Override, Pace, Reset } from './adjustment.ts'
import { type Adjustment, type AdjustmentIndex, createAdjustmentIndex } from './adjustment-index.ts'
import { elsewhereNow } from './learned.ts'
import { paceQuotaOf } from './pace.ts'
import type { Quota } from './quota.ts'
import { indexQuotas } from './quota-index.ts'
import { type Subject, subjectNamed } from './subject.ts'

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
  /**
   * Of a rate whose limit changes about now: the limits that held and will hold, ascending. Before the first of them held
   * what was known then. Absent where the limit has been the same for as long as a level is kept.
   */
  readonly limits?: readonly LimitStep[] | undefined
}

/** From when on calls of a subject count. */
interface SubjectReset {
  readonly subject: Subject
  readonly sinceMs: number
}

/** The quotas, as they are looked for. */
export interface QuotaSet {
  readonly quotas: readonly Quota[]
  /** These, each followed by its pace where it has one: all that decisions are made by. */
  readonly enforced: readonly Quota[]
  /** Of the enforced. */
  readonly byName: ReadonlyMap<string, Quota>
  /** The enforced quotas that can match calls of the tenant, in their order. */
  candidates(tenant: string | null): readonly Quota[]
}

export interface Policy extends QuotaSet {
  /** The same list until a block changes. */
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

export function createQuotaSet(quotas: readonly Quota[]): QuotaSet {
  const enforced = quotas.flatMap(quota => [quota, paceQuotaOf(quota) ?? []].flat())
  const byName = new Map(enforced.map(quota => [quota.name, quota]))
  return { quotas, enforced, byName, candidates: indexQuotas(enforced) }
}

/** The policy of what is known at once. */
export function createPolicy(quotas: readonly Quota[], adjustments: Adjustments = NO_ADJUSTMENTS): Policy {
  const set = createQuotaSet(quotas)
  const index = createAdjustmentIndex(name => set.byName.get(name))
  const { overrides, grants, resets, learned, paces, blocks } = adjustments
  for (const value of overrides) index.add({ kind: 'override', value })
  for (const value of grants) index.add({ kind: 'grant', value })
  for (const value of resets) index.add({ kind: 'reset', value })
  for (const value of learned) index.add({ kind: 'upstream', value })
  for (const value of paces) index.add({ kind: 'pace', value })
  return policyOf(set, index, blocks)
}

export function policyOf(set: QuotaSet, index: AdjustmentIndex, blocks: readonly Block[]): Policy {
  const of = ({ name }: Quota, subject: string): readonly Adjustment[] => {
    const bySubject = index.of(name)
    const own = bySubject.get(subject) ?? NONE
    const ofEach = bySubject.get(null)
    if (ofEach === undefined) return own
    return own === NONE ? ofEach : [...ofEach, ...own]
  }
  const rateLimits = createRateLimits()
  return {
    ...set,
    blocks,
    allowance(quota, subject, nowMs) {
      const adjustments = of(quota, subject)
      if (adjustments.length === 0) return { limit: quota.limit, deniedUntilMs: null, elsewhere: 0, sinceMs: 0 }
      const allowance = allowanceUnder(quota, adjustedNow(quota, adjustments, nowMs), nowMs)
      const limits = rateLimits(quota, adjustments, allowance, nowMs)
      return limits === undefined ? allowance : { ...allowance, limits }
    },
    limits: (quota, subject, range) => limitsWithin(quota, of(quota, subject), range),
    resets(quota, nowMs) {
      const found = new Map<string, SubjectReset>()
      for (const [key, adjustments] of index.of(quota.name)) {
        const { reset } = adjustedNow(quota, adjustments, nowMs)
        if (key === null || reset === null) continue
        found.set(key, { subject: subjectNamed(quota, reset.subject), sinceMs: reset.fromMs })
      }
      return found
    },
    adjusted: (quota, subject, nowMs) => adjustedNow(quota, of(quota, subject), nowMs),
  }
}

const NONE: readonly Adjustment[] = []

function limitsWithin(
  quota: Quota,
  adjustments: readonly Adjustment[],
  { fromMs, toMs }: { fromMs: number; toMs: number },
): LimitStep[] {
  const instants = new Set(
    adjustments.flatMap(({ kind, value }) => (kind === 'grant' ? [value.fromMs, value.untilMs] : [])),
  )
  const later = [...instants].filter(atMs => atMs > fromMs && atMs < toMs).toSorted((a, b) => a - b)
  const steps: LimitStep[] = []
  const add = (atMs: number) => {
    const limit = limitUnder(quota, adjustedNow(quota, adjustments, atMs))
    if (limit !== null && limit !== steps.at(-1)?.limit) steps.push({ fromMs: atMs, limit })
  }
  for (const atMs of [fromMs, ...later]) {
    add(atMs)
    if (steps.length === CHANGES_MAX) break
  }
  add(later.at(-1) ?? fromMs)
  return steps
}

/**
 * Of a rate: its limits from the last change on that was not known before it came, as far back and ahead as a level is
 * kept. Remembered by the list of what was adjusted, as decisions ask again and again.
 */
function createRateLimits() {
  const known = new WeakMap<
    readonly Adjustment[],
    { startMs: number; isDenied: boolean; limits: Allowance['limits'] }
  >()
  return (quota: Quota, adjustments: readonly Adjustment[], { deniedUntilMs }: Allowance, nowMs: number) => {
    const { window } = quota
    if (window.kind !== 'rate') return undefined
    const { startMs, endMs } = bucketAt(window, nowMs)
    const isDenied = deniedUntilMs !== null
    const last = known.get(adjustments)
    if (last?.startMs === startMs && last.isDenied === isDenied) return last.limits
    const keptFromMs = startMs - idleMsMax(window)
    const fromMs = Math.max(keptFromMs, ...adjustments.map(({ atMs = 0 }) => atMs))
    const within = limitsWithin(quota, adjustments, { fromMs, toMs: endMs })
    // A refusal changes nothing about what drains.
    const limits = within.length > (fromMs > keptFromMs || isDenied ? 0 : 1) ? within : undefined
    known.set(adjustments, { startMs, isDenied, limits })
    return limits
  }
}

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

/** Of several of a kind the last one holds; grants are added up. */
function adjustedNow({ limit }: Quota, adjustments: readonly Adjustment[], nowMs: number): Adjusted {
  const isActive = ({ fromMs, untilMs }: Grant | Reset) => fromMs <= nowMs && nowMs < untilMs
  let override: number | null = null
  const grants: Grant[] = []
  let reset: Reset | null = null
  let learned: Learned | null = null
  let pace: Pace | null = null
  for (const { kind, value } of adjustments) {
    if (kind === 'override') override = value.limit
    else if (kind === 'grant') {
      if (isActive(value)) grants.push(value)
    } else if (kind === 'reset') {
      // It ends with the window that was open, so that it does not reach into the next one.
      if (isActive(value)) reset = value
    } else if (kind === 'pace') pace = value
    // A quota that was given a limit of its own does not listen any more.
    else if (kind === 'upstream' && limit === null) learned = value
  }
  return { override, grants, reset, learned, pace: pace !== null && nowMs < pace.untilMs ? pace : null }
}
