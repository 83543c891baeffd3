/**
 * One decision, whatever door asked: the quotas that match, their windows now, all of them or none, and an answer that
 * names every quota concerned and the one that binds.
 */
import type { Logger } from 'pino'
import { decisionDegraded } from '../events.ts'
import type { Block } from '../policy/adjustment.ts'
import type { Policy } from '../policy/policy.ts'
import { type Dimensions, matches, type Quota } from '../policy/quota.ts'
import { subjectKeyOf } from '../policy/subject.ts'
import type { Unit } from '../usage/units.ts'
import { windowAt } from '../usage/window.ts'
import { createBlocks, type FindBlock } from './blocks.ts'
import type { DecisionSumming } from './decision-summing.ts'
import {
  type Claim,
  type DecisionReference,
  type LimitStore,
  LimitStoreError,
  type StoreDecision,
} from './limit-store.ts'

/** What a caller may state; an absent unit is unknown and settled later, an absent number of requests is 1. */
export type Cost = Partial<Record<Unit, number>>

/** One call that wants to pass. */
export interface Ask {
  readonly dims: Dimensions
  readonly cost: Cost
  /** Of the client, where the gateway says it; only blocks concern it. */
  readonly clientIp: string | null
  readonly requestId: string | null
  readonly isDryRun: boolean
}

/** An ask with the quotas that it concerns. */
export interface Prepared {
  readonly ask: Ask
  readonly nowMs: number
  readonly quotas: readonly Quota[]
  readonly claims: readonly Claim[]
  /** Of each claim: what of the window's use counts no more. */
  readonly forgiven: readonly number[]
  /** A stated cost that can never fit; quotas of 0 deny and are no such case. */
  readonly excess: CostExcess | null
}

/** A quota after the decision. */
interface QuotaStanding {
  quota: string
  unit: Unit
  limit: number
  used: number
  reserved: number
  remaining: number
  resetAtMs: number
  enforcement: 'deny' | 'shadow'
}

export interface Decision {
  isAllowed: boolean
  /** Null when nothing was spent. */
  reference: DecisionReference | null
  /** Call records up to here are counted, Unix milliseconds. */
  asOfMs: number
  /** The instant of the decision. */
  nowMs: number
  /** The quota that is in the way, else the one of which least is left; null when none is enforced. */
  binding: string | null
  /** After so long the same call fits, if nobody else spends; null when it passes now or never will. */
  retryAfterMs: number | null
  quotas: QuotaStanding[]
  /** Quotas that were in the way, shadow ones not among them. */
  violated: string[]
  /** The limit store was away, the quotas' `onStoreFailure` decided. */
  isDegraded: boolean
  /** The caller may not pass, whatever quotas say. */
  block: Block | null
}

/** A cost that was stated and is more than an enforced quota ever allows. */
interface CostExcess {
  quota: string
  unit: Unit
  cost: number
  limit: number
}

export interface Limiter {
  prepare(ask: Ask): Prepared
  /** Decides and spends. Never throws for a store that is away. */
  check(prepared: Prepared): Promise<Decision>
}

export interface LimiterDeps {
  policy: () => Policy
  store: LimitStore
  summing: DecisionSumming
  /** Instant up to which call records have been applied. */
  asOfMs: (nowMs: number) => number
  /** Told who asked. */
  onCheck: (gateway: string) => void
  logger: Logger
}

/** How long a caller should wait for a limit store that is away. */
const DEGRADED_RETRY_MS = 1_000

export function createLimiter(deps: LimiterDeps): Limiter {
  const { store, summing, asOfMs } = deps
  let blocksOf: { policy: Policy; find: FindBlock } | null = null
  let lastFailure: string | null = null

  const blockOf = ({ dims, clientIp }: Ask, nowMs: number): Block | null => {
    const policy = deps.policy()
    if (blocksOf?.policy !== policy) blocksOf = { policy, find: createBlocks(policy.blocks) }
    return blocksOf.find({ tenant: dims.tenant, consumer: dims.consumer, clientIp, nowMs })
  }
  const degraded = (quotas: readonly Quota[], error: unknown, nowMs: number): Decision => {
    if (!(error instanceof LimitStoreError)) throw error
    decisionDegraded(deps.logger, error.message, error.message !== lastFailure)
    lastFailure = error.message
    const denying = quotas.filter(quota => quota.enforcement === 'deny' && quota.onStoreFailure === 'deny')
    const violated = denying.map(quota => quota.name)
    const isAllowed = violated.length === 0
    const retryAfterMs = isAllowed ? null : DEGRADED_RETRY_MS
    const rest = { asOfMs: asOfMs(nowMs), nowMs, reference: null, quotas: [], isDegraded: true, block: null }
    return { ...rest, isAllowed, binding: violated[0] ?? null, retryAfterMs, violated }
  }

  return {
    prepare: ask => prepare(ask, deps.policy(), store.nowMs()),
    async check(prepared) {
      const { ask, nowMs, quotas, claims } = prepared
      deps.onCheck(ask.dims.gateway ?? '')
      const block = blockOf(ask, nowMs)
      if (block !== null) return blocked(block, nowMs, asOfMs(nowMs))
      let decided: StoreDecision
      try {
        decided = await store.decide({
          verb: 'check',
          claims,
          gateway: ask.dims.gateway ?? '',
          requestId: ask.requestId,
          isDryRun: ask.isDryRun,
          expiresAtMs: null,
        })
      } catch (error) {
        return degraded(quotas, error, nowMs)
      }
      lastFailure = null
      if (!ask.isDryRun) sumUp(summing, prepared, decided)
      return toDecision(prepared, decided, asOfMs(nowMs))
    },
  }
}

function prepare(ask: Ask, policy: Policy, nowMs: number): Prepared {
  const { dims, cost } = ask
  const quotas: Quota[] = []
  const claims: Claim[] = []
  const forgiven: number[] = []
  let excess: CostExcess | null = null
  for (const quota of policy.candidates(dims.tenant)) {
    if (!matches(quota, dims)) continue
    const { name, unit, series } = quota
    const { startMs, endMs } = windowAt(quota.window, nowMs)
    const subject = subjectKeyOf(quota, dims)
    const allowance = policy.allowance(quota, subject, startMs, nowMs)
    const { limit } = allowance
    const stated = cost[unit]
    const isEnforced = quota.enforcement === 'deny'
    if (isEnforced && stated !== undefined && limit > 0 && stated > limit) {
      excess ??= { quota: name, unit, cost: stated, limit }
    }
    quotas.push(quota)
    forgiven.push(allowance.forgiven)
    claims.push({
      ...{ series, subject, startMs, endMs },
      limit: limit + allowance.forgiven,
      cost: stated ?? (unit === 'requests' ? 1 : 0),
      isSpent: quota.counts !== 'records',
      isEnforced,
    })
  }
  return { ask, nowMs, quotas, claims, forgiven, excess }
}

const blocked = (block: Block, nowMs: number, asOfMs: number): Decision => ({
  ...{ isAllowed: false, reference: null, asOfMs, nowMs, binding: null, quotas: [], violated: [], isDegraded: false },
  retryAfterMs: block.untilMs === null ? null : block.untilMs - nowMs,
  block,
})

function sumUp(summing: DecisionSumming, { quotas, claims, ask, nowMs }: Prepared, decided: StoreDecision): void {
  for (let index = 0; index < quotas.length; index += 1) {
    const quota = quotas[index]
    const claim = claims[index]
    const standing = decided.standings[index]
    if (quota === undefined || claim === undefined || standing === undefined) continue
    const hasDenied = !decided.isAllowed && claim.isEnforced && !standing.fits
    // A quota that was not in the way of a denied call has neither allowed nor denied it.
    if (!decided.isAllowed && !hasDenied) continue
    const cost = claim.isSpent || hasDenied ? claim.cost : 0
    summing.count(quota, claim.subject, ask.dims, { cost, hasDenied, nowMs })
  }
}

function toDecision(
  { quotas, claims, forgiven, nowMs }: Prepared,
  { isAllowed, reference, standings }: StoreDecision,
  asOfMs: number,
): Decision {
  const answers: QuotaStanding[] = []
  const violated: string[] = []
  let binding: string | null = null
  let least = Number.POSITIVE_INFINITY
  let retryAtMs = 0
  for (let index = 0; index < quotas.length; index += 1) {
    const quota = quotas[index]
    const claim = claims[index]
    const standing = standings[index]
    if (quota === undefined || claim === undefined || standing === undefined) continue
    const { reserved, fits } = standing
    const { name, unit, enforcement } = quota
    const forgivenHere = forgiven[index] ?? 0
    const limit = claim.limit - forgivenHere
    const used = Math.max(0, standing.used - forgivenHere)
    const remaining = Math.max(0, claim.limit - standing.used - reserved)
    answers.push({ quota: name, unit, limit, used, reserved, remaining, resetAtMs: claim.endMs, enforcement })
    if (!claim.isEnforced) continue
    if (isAllowed) {
      const share = remaining / limit
      if (share < least) {
        least = share
        binding = name
      }
      continue
    }
    if (fits) continue
    violated.push(name)
    // What never fits binds more than what fits again late.
    const fitsAtMs = limit === 0 || claim.cost > limit ? Number.POSITIVE_INFINITY : claim.endMs
    if (fitsAtMs <= retryAtMs) continue
    retryAtMs = fitsAtMs
    binding = name
  }
  const retryAfterMs = isAllowed || retryAtMs === Number.POSITIVE_INFINITY ? null : retryAtMs - nowMs
  const rest = { quotas: answers, violated, isDegraded: false, block: null }
  return { isAllowed, reference, asOfMs, nowMs, binding, retryAfterMs, ...rest }
}
