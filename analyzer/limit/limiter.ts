/**
 * One decision, whatever door asked: the quotas that match, their windows now, all of them or none, and an answer that
 * names every quota concerned and the one that binds.
 */
import type { Logger } from 'pino'
import { decisionDegraded } from '../events.ts'
import { type Dimensions, matches, type Quota } from '../policy/quota.ts'
import { indexQuotas } from '../policy/quota-index.ts'
import { subjectKeyOf } from '../policy/subject.ts'
import type { Unit } from '../usage/units.ts'
import { windowAt } from '../usage/window.ts'
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
  readonly requestId: string | null
  readonly isDryRun: boolean
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
}

/** A cost that was stated and is more than an enforced quota ever allows. */
interface CostExcess {
  quota: string
  unit: Unit
  cost: number
  limit: number
}

export interface Limiter {
  /** Decides and spends. Never throws for a store that is away. */
  check(ask: Ask): Promise<Decision>
  /** Finds a stated cost that can never fit; null when each might. Quotas of 0 deny and are no such case. */
  excessOf(ask: Ask): CostExcess | null
  matching(dims: Dimensions): Quota[]
}

export interface LimiterDeps {
  quotas: readonly Quota[]
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
  const candidates = indexQuotas(deps.quotas)
  let lastFailure: string | null = null

  const matching = (dims: Dimensions): Quota[] => {
    const found: Quota[] = []
    for (const quota of candidates(dims.tenant)) if (matches(quota, dims)) found.push(quota)
    return found
  }
  const degraded = (quotas: readonly Quota[], error: unknown, nowMs: number): Decision => {
    if (!(error instanceof LimitStoreError)) throw error
    decisionDegraded(deps.logger, error.message, error.message !== lastFailure)
    lastFailure = error.message
    const denying = quotas.filter(quota => quota.enforcement === 'deny' && quota.onStoreFailure === 'deny')
    const violated = denying.map(quota => quota.name)
    const isAllowed = violated.length === 0
    const retryAfterMs = isAllowed ? null : DEGRADED_RETRY_MS
    const rest = { asOfMs: asOfMs(nowMs), nowMs, reference: null, quotas: [], isDegraded: true }
    return { ...rest, isAllowed, binding: violated[0] ?? null, retryAfterMs, violated }
  }

  return {
    matching,
    excessOf(ask) {
      for (const quota of matching(ask.dims)) {
        const cost = ask.cost[quota.unit] ?? 0
        if (quota.enforcement === 'deny' && quota.limit > 0 && cost > quota.limit) {
          return { quota: quota.name, unit: quota.unit, cost, limit: quota.limit }
        }
      }
      return null
    },
    async check(ask) {
      const nowMs = store.nowMs()
      deps.onCheck(ask.dims.gateway ?? '')
      const quotas = matching(ask.dims)
      const claims = quotas.map(quota => toClaim(quota, ask, nowMs))
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
      if (!ask.isDryRun) sumUp(summing, { quotas, claims, decided, ask, nowMs })
      return toDecision(quotas, claims, decided, { nowMs, asOfMs: asOfMs(nowMs) })
    },
  }
}

function toClaim(quota: Quota, { dims, cost }: Ask, nowMs: number): Claim {
  const { startMs, endMs } = windowAt(quota.window, nowMs)
  return {
    series: quota.series,
    subject: subjectKeyOf(quota, dims),
    startMs,
    endMs,
    limit: quota.limit,
    cost: cost[quota.unit] ?? (quota.unit === 'requests' ? 1 : 0),
    isSpent: quota.counts !== 'records',
    isEnforced: quota.enforcement === 'deny',
  }
}

interface Decided {
  quotas: readonly Quota[]
  claims: readonly Claim[]
  decided: StoreDecision
  ask: Ask
  nowMs: number
}

function sumUp(summing: DecisionSumming, { quotas, claims, decided, ask, nowMs }: Decided): void {
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
  quotas: readonly Quota[],
  claims: readonly Claim[],
  { isAllowed, reference, standings }: StoreDecision,
  instants: { nowMs: number; asOfMs: number },
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
    const { used, reserved, fits } = standing
    const { name, unit, limit, enforcement } = quota
    const remaining = Math.max(0, limit - used - reserved)
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
  const retryAfterMs = isAllowed || retryAtMs === Number.POSITIVE_INFINITY ? null : retryAtMs - instants.nowMs
  return { isAllowed, reference, ...instants, binding, retryAfterMs, quotas: answers, violated, isDegraded: false }
}
