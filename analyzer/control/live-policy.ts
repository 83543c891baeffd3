/** The policy as the config and the control log have made it: every role folds the same changes into the same value. */
import { Compile } from 'typebox/compile'
import { Block, Grant, Learned, Override, Pace, Reset } from '../policy/adjustment.ts'
import { createPolicy, type Policy } from '../policy/policy.ts'
import { parseQuota, type Quota, QuotaError } from '../policy/quota.ts'
import { QuotaOptions } from '../policy/quota-options.ts'
import type { HeldChange } from './fold.ts'

const checks = {
  quota: Compile(QuotaOptions),
  override: Compile(Override),
  grant: Compile(Grant),
  reset: Compile(Reset),
  upstream: Compile(Learned),
  pace: Compile(Pace),
  block: Compile(Block),
}

/** What a change of the policy may be about; the kinds of the control log that concern it. */
const POLICY_KINDS = ['quota', 'override', 'grant', 'reset', 'upstream', 'pace', 'block'] as const
type PolicyKind = (typeof POLICY_KINDS)[number]
const isPolicyKind = (kind: string): kind is PolicyKind => POLICY_KINDS.some(known => known === kind)

/** True for what can be kept under a kind. */
const isPolicyValue = (kind: PolicyKind, value: unknown): boolean => checks[kind].Check(value)

export interface LivePolicy {
  /** Replaced as a whole by each change, so that whoever keeps something made from it sees that it is another. */
  current(): Policy
  fold(change: HeldChange): void
}

/** Quotas of the config stay as they are: a change that names one of them has no effect here. */
export function createLivePolicy(configured: readonly Quota[], labelColumns: readonly string[]): LivePolicy {
  const taken = new Set(configured.map(({ name }) => name))
  const held: { [Kind in PolicyKind]: Map<string, unknown> } = {
    quota: new Map(),
    override: new Map(),
    grant: new Map(),
    reset: new Map(),
    upstream: new Map(),
    pace: new Map(),
    block: new Map(),
  }
  const values = <T>(kind: PolicyKind) => [...held[kind].values()] as T[]
  const made = () =>
    createPolicy([...configured, ...values<Quota>('quota')], {
      overrides: values<Override>('override'),
      grants: values<Grant>('grant'),
      resets: values<Reset>('reset'),
      learned: values<Learned>('upstream'),
      paces: values<Pace>('pace'),
      blocks: values<Block>('block'),
    })
  let policy: Policy | null = null

  return {
    current() {
      policy ??= made()
      return policy
    },
    fold({ kind, key, value }) {
      if (!isPolicyKind(kind)) return
      held[kind].delete(key)
      const kept = kind === 'quota' ? quotaOf(value, labelColumns) : isPolicyValue(kind, value) ? value : null
      if (kept !== null && !(kind === 'quota' && taken.has(key))) held[kind].set(key, kept)
      policy = null
    },
  }
}

/** `null` for one that this installation cannot have: its labels may be others than when it was made. */
function quotaOf(value: unknown, labelColumns: readonly string[]): Quota | null {
  if (!checks.quota.Check(value)) return null
  try {
    return parseQuota(value as QuotaOptions, labelColumns)
  } catch (error) {
    if (error instanceof QuotaError) return null
    throw error
  }
}
