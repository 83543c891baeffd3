/**
 * What was adjusted, found by quota and subject. Changed in place: a change costs the same however much there is, for the
 * analyzer alone may make a hundred in a tick, and decisions wait for each.
 */
import type { Grant, Learned, Override, Pace, Reset } from './adjustment.ts'
import { paceName } from './pace.ts'
import type { Quota } from './quota.ts'
import { keyOf } from './subject.ts'

interface Adjusting {
  override: Override
  grant: Grant
  reset: Reset
  upstream: Learned
  pace: Pace
}
export type AdjustmentKind = keyof Adjusting
interface Made {
  /** When it was made so, Unix milliseconds; absent where that is not known, or changes no limit. */
  readonly atMs?: number | undefined
}
export type PresentAdjustment = {
  [Kind in AdjustmentKind]: { readonly kind: Kind; readonly value: Adjusting[Kind] } & Made
}[AdjustmentKind]
/** Of one that holds no more, only when it ended has an effect. */
export type Adjustment = PresentAdjustment | ({ readonly kind: 'gone'; readonly value: PresentAdjustment } & Made)

/** By the keys of the subjects; null: for each of them. What was changed last is last. */
type BySubject = ReadonlyMap<string | null, readonly Adjustment[]>

export interface AdjustmentIndex {
  add(adjustment: Adjustment): void
  /** The same object that was added. */
  remove(adjustment: Adjustment): void
  /** Is to be told when the quota is there, another or gone: it may tell its subjects apart by other dimensions. */
  quotaChanged(name: string): void
  of(quota: string): BySubject
}

interface OfQuota {
  readonly all: Set<Adjustment>
  /** Null until somebody asks. */
  bySubject: Map<string | null, Adjustment[]> | null
}

const NOTHING: BySubject = new Map()

/** Adjustments of quotas that there are not, or of subjects that a quota does not tell apart, have no effect. */
export function createAdjustmentIndex(quotaNamed: (name: string) => Quota | undefined): AdjustmentIndex {
  const byQuota = new Map<string, OfQuota>()
  const putIn = (bySubject: Map<string | null, Adjustment[]>, adjustment: Adjustment) => {
    const key = subjectOf(adjustment, quotaNamed)
    if (key === undefined) return
    const known = bySubject.get(key)
    if (known === undefined) bySubject.set(key, [adjustment])
    else known.push(adjustment)
  }
  return {
    add(adjustment) {
      const name = quotaOf(adjustment)
      const ofQuota = byQuota.get(name) ?? { all: new Set(), bySubject: null }
      byQuota.set(name, ofQuota)
      ofQuota.all.add(adjustment)
      if (ofQuota.bySubject !== null) putIn(ofQuota.bySubject, adjustment)
    },
    remove(adjustment) {
      const name = quotaOf(adjustment)
      const ofQuota = byQuota.get(name)
      if (ofQuota === undefined) return
      ofQuota.all.delete(adjustment)
      if (ofQuota.all.size === 0) byQuota.delete(name)
      const key = ofQuota.bySubject === null ? undefined : subjectOf(adjustment, quotaNamed)
      if (key === undefined) return
      const left = ofQuota.bySubject?.get(key)?.filter(other => other !== adjustment) ?? []
      if (left.length === 0) ofQuota.bySubject?.delete(key)
      else ofQuota.bySubject?.set(key, left)
    },
    quotaChanged(name) {
      for (const ofQuota of [byQuota.get(name), byQuota.get(paceName(name))]) if (ofQuota) ofQuota.bySubject = null
    },
    of(name) {
      const ofQuota = byQuota.get(name)
      if (ofQuota === undefined) return NOTHING
      if (ofQuota.bySubject !== null) return ofQuota.bySubject
      const bySubject = new Map<string | null, Adjustment[]>()
      for (const adjustment of ofQuota.all) putIn(bySubject, adjustment)
      ofQuota.bySubject = bySubject
      return bySubject
    },
  }
}

/** The one that decisions are made by. */
const quotaOf = ({ kind, value }: Adjustment): string => {
  if (kind === 'gone') return quotaOf(value)
  return kind === 'pace' ? paceName(value.quota) : value.quota
}

/** The key of its subject, null for each one; undefined where it has no effect. */
function subjectOf(adjustment: Adjustment, quotaNamed: (name: string) => Quota | undefined): string | null | undefined {
  const { kind, value } = adjustment
  const { subject } = kind === 'gone' ? value.value : value
  const quota = quotaNamed(quotaOf(adjustment))
  // Only what drains remembers what held before.
  if (kind === 'gone' && quota?.window.kind !== 'rate') return undefined
  if (subject !== null) return keyOf(quota, subject) ?? undefined
  return quota === undefined ? undefined : null
}
