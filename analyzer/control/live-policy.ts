/** The policy as the config and the control log have made it: every role folds the same changes into the same value. */
import { Block, Grant, Learned, Override, Pace, Reset } from '../policy/adjustment.ts'
import {
  type Adjustment,
  type AdjustmentKind,
  createAdjustmentIndex,
  type PresentAdjustment,
} from '../policy/adjustment-index.ts'
import { createQuotaSet, type Policy, policyOf, type QuotaSet } from '../policy/policy.ts'
import { parseQuota, type Quota, QuotaError } from '../policy/quota.ts'
import { QuotaOptions } from '../policy/quota-options.ts'
import { createValueReader } from '../policy/value-reader.ts'
import type { HeldChange } from './fold.ts'

const readers = {
  quota: createValueReader(QuotaOptions),
  override: createValueReader(Override),
  grant: createValueReader(Grant),
  reset: createValueReader(Reset),
  upstream: createValueReader(Learned),
  pace: createValueReader(Pace),
  block: createValueReader(Block),
}

/** Those that make a limit another one than it was. What a provider says, it may have meant long before. */
const LIMITING: ReadonlySet<AdjustmentKind> = new Set(['override', 'grant', 'pace'])
/** Adjustments of which it is remembered when they ended. */
const GONE_MAX = 10_000

type PolicyKind = keyof typeof readers
const isPolicyKind = (kind: string): kind is PolicyKind => Object.hasOwn(readers, kind)

export interface LivePolicy {
  /** Another one after each change. */
  current(): Policy
  fold(change: HeldChange): void
}

/** Quotas of the config stay as they are: a change that names one of them has no effect here. */
export function createLivePolicy(configured: readonly Quota[], labelColumns: readonly string[]): LivePolicy {
  const taken = new Set(configured.map(({ name }) => name))
  const quotas = new Map<string, Quota>()
  const blocks = new Map<string, Block>()
  const adjustments = new Map<string, PresentAdjustment>()
  // What is made of them when somebody asks; null since one of them changed.
  let set: QuotaSet | null = null
  let blockList: readonly Block[] | null = null
  let policy: Policy | null = null
  const quotaSet = () => {
    set ??= createQuotaSet([...configured, ...quotas.values()])
    return set
  }
  const index = createAdjustmentIndex(name => quotaSet().byName.get(name))
  /** Those that do not hold any more, the longest ago first. */
  const gone = new Map<string, Adjustment>()
  const drop = <Any extends Adjustment>(from: Map<string, Any>, place: string) => {
    const adjustment = from.get(place)
    if (adjustment !== undefined) index.remove(adjustment)
    from.delete(place)
    return adjustment
  }
  const keep = <Any extends Adjustment>(to: Map<string, Any>, place: string, adjustment: Any) => {
    to.set(place, adjustment)
    index.add(adjustment)
  }
  const adjust = (kind: AdjustmentKind, key: string, value: unknown, atMs: number | undefined) => {
    const place = `${kind}:${key}`
    const before = drop(adjustments, place)
    drop(gone, place)
    const read = readers[kind](value)
    const madeMs = LIMITING.has(kind) ? atMs : undefined
    if (read !== null) keep(adjustments, place, { kind, value: read, atMs: madeMs } as PresentAdjustment)
    else if (before !== undefined && madeMs !== undefined) {
      keep(gone, place, { kind: 'gone', value: before, atMs: madeMs })
      const [oldest = place] = gone.keys()
      if (gone.size > GONE_MAX) drop(gone, oldest)
    }
  }

  return {
    current() {
      blockList ??= [...blocks.values()]
      policy ??= policyOf(quotaSet(), index, blockList)
      return policy
    },
    fold({ kind, key, value, atMs }) {
      if (!isPolicyKind(kind)) return
      policy = null
      if (kind === 'quota') {
        const quota = taken.has(key) ? null : quotaOf(value, labelColumns)
        put(quotas, key, quota)
        set = null
        index.quotaChanged(key)
      } else if (kind === 'block') {
        put(blocks, key, readers.block(value))
        blockList = null
      } else adjust(kind, key, value, atMs)
    },
  }
}

/** What is put last is last. */
function put<T>(held: Map<string, T>, key: string, value: T | null): void {
  held.delete(key)
  if (value !== null) held.set(key, value)
}

/** `null` for one that this installation cannot have: its labels may be others than when it was made. */
function quotaOf(value: unknown, labelColumns: readonly string[]): Quota | null {
  const options = readers.quota(value)
  if (options === null) return null
  try {
    return parseQuota(options, labelColumns)
  } catch (error) {
    if (error instanceof QuotaError) return null
    throw error
  }
}
