/**
 * One decision, whatever door asked: the quotas that match, their windows now, all of them or none, and an answer that
 * names every quota concerned and the one that binds.
 */
import type { Logger } from 'pino'
import { decisionDegraded } from '../events.ts'
import type { Block } from '../policy/adjustment.ts'
import type { Allowance, Policy } from '../policy/policy.ts'
import { type Dimensions, matches, type Quota } from '../policy/quota.ts'
import type { Enforcement } from '../policy/quota-options.ts'
import { callerKey, subjectKeyOf } from '../policy/subject.ts'
import type { QuotaUnit, Unit } from '../usage/units.ts'
import { blocked, degraded, toDecision } from './answering.ts'
import { createBlocks, type FindBlock } from './blocks.ts'
import { claimOf } from './claiming.ts'
import type { DecisionSumming } from './decision-summing.ts'
import {
  type Claim,
  type DecideRequest,
  type DecisionReference,
  type LimitStore,
  LimitStoreError,
  LimitStoreFull,
  type StoreDecision,
} from './limit-store.ts'
import { hideKeys, type NameOf } from './raw-keys.ts'
import { createLack, decideInRoom } from './room.ts'

/** What a caller may state; an absent unit is unknown and settled later, an absent number of requests is 1. */
export type Cost = Partial<Record<Unit, number>>

/** One call that wants to pass. */
export interface Ask {
  readonly dims: Dimensions
  readonly cost: Cost
  /** What is not stated and was learned of such calls: it counts alike, but one that can never fit is a denial. */
  readonly estimated?: Cost
  /** Of the client, where the gateway says it; only blocks concern it. */
  readonly clientIp: string | null
  readonly requestId: string | null
  readonly isDryRun: boolean
}

/** An ask with the quotas that it concerns. */
export interface Prepared {
  readonly ask: Ask
  readonly policy: Policy
  readonly nowMs: number
  readonly quotas: readonly Quota[]
  readonly claims: readonly Claim[]
  /** Of each claim: what the subject may use. */
  readonly allowances: readonly Allowance[]
  /** A stated cost that can never fit; quotas of 0 deny and are no such case. */
  readonly excess: CostExcess | null
}

/** A quota after the decision. */
export interface QuotaStanding {
  quota: string
  unit: QuotaUnit
  /** Null while nobody has said it: nothing is denied, unless the provider refuses calls. */
  limit: number | null
  /** Of a rate: what has not drained yet. */
  used: number
  reserved: number
  /** What may be taken at once, now; null without a limit. */
  remaining: number | null
  /** When all that is used now counts no more. */
  resetAtMs: number
  /** What is used counts at most so much longer than the window: a slot of a sliding one, else 0. */
  countsLongerMs: number
  /**
   * How far what was let pass can exceed the limit; null where nothing bounds it, as true costs are known afterwards.
   * Without the shared counters: what each limiter may still let pass of its own, of which no other one knows.
   */
  overshootMax: number | null
  enforcement: Enforcement
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
  /** Decided without the counters that all limiters share: by what this one knows, or by `onStoreFailure` alone. */
  isDegraded: boolean
  /** The caller may not pass, whatever quotas say. */
  block: Block | null
}

/** A cost that was stated and is more than an enforced quota ever allows. */
interface CostExcess {
  quota: string
  unit: QuotaUnit
  cost: number
  limit: number
}

/** How long is held, and what for. */
interface Hold {
  readonly expiresAtMs: number | null
  readonly note: string | null
}
/** The call has ended. */
const NOT_HELD: Hold = { expiresAtMs: null, note: null }

/** At once where the counters are in this process. */
type Answer = Decision | Promise<Decision>

export interface Limiter {
  /** Raw keys among the dimensions of `ask` are their fingerprints from then on. */
  prepare(ask: Ask): Prepared
  /** Decides and spends. Never throws for a store that is away. */
  check(prepared: Prepared): Answer
  /** Decides and holds the costs until they are settled or released, or the reservation expires. Never throws, as `check`. */
  reserve(prepared: Prepared, hold: Hold): Answer
  /** Decides and spends nothing, whether the caller is blocked or not; the block is told beside it. */
  look(prepared: Prepared): Promise<Decision>
  /**
   * Spends in any case, blocked or over the limit: the call has been made. It has ended, unless it `isUnderWay`, and its check
   * holds nothing from now on. A negative cost gives back; nothing settles that.
   */
  record(prepared: Prepared, isUnderWay?: boolean): Answer
  /** The call has ended, and took nothing that nobody knows: its check holds nothing from now on. */
  end(prepared: Prepared): Promise<unknown>
  /** What there was no room for in the last minute. */
  lacking(): string | null
}

export interface LimiterDeps {
  policy: () => Policy
  store: LimitStore
  summing: DecisionSumming
  /** Instant up to which call records have been applied. */
  asOfMs: (nowMs: number) => number
  nameOf: NameOf
  /** Told who asked. */
  onCheck: (gateway: string) => void
  logger: Logger
}

export function createLimiter(deps: LimiterDeps): Limiter {
  const { store, summing, asOfMs } = deps
  const lack = createLack(store.nowMs, (reason, isNew) => decisionDegraded(deps.logger, reason, isNew))
  let blocksOf: { blocks: readonly Block[]; find: FindBlock } | null = null
  let lastFailure: string | null = null

  const blockOf = ({ dims, clientIp }: Ask, nowMs: number): Block | null => {
    const { blocks } = deps.policy()
    if (blocksOf?.blocks !== blocks) blocksOf = { blocks, find: createBlocks(blocks) }
    return blocksOf.find({ tenant: dims.tenant, consumer: dims.consumer, clientIp, nowMs })
  }
  const fail = (quotas: readonly Quota[], error: unknown, nowMs: number): Decision => {
    if (!(error instanceof LimitStoreError)) throw error
    if (error instanceof LimitStoreFull) lack.note(error.message)
    else {
      decisionDegraded(deps.logger, error.message, error.message !== lastFailure)
      lastFailure = error.message
    }
    return degraded(quotas, nowMs, asOfMs(nowMs))
  }
  const room = { decide: store.decideAtOnce ?? store.decide, onFull: lack.note }
  const finish = (verb: DecideRequest['verb'], prepared: Prepared, decided: StoreDecision): Decision => {
    const { ask, nowMs } = prepared
    lastFailure = null
    // A reservation that is allowed is counted with its true cost, when it is settled.
    const isHeld = verb === 'reserve' && decided.reference !== null
    if (!ask.isDryRun && !isHeld) sumUp(summing, prepared, decided)
    return toDecision(prepared, decided, asOfMs(nowMs))
  }
  const decide = (verb: DecideRequest['verb'], prepared: Prepared, hold: Hold): Answer => {
    const failed = (error: unknown) => fail(verb === 'record' ? [] : prepared.quotas, error, prepared.nowMs)
    try {
      const decided = decideInRoom(room, toRequest(verb, prepared, hold))
      if (!(decided instanceof Promise)) return finish(verb, prepared, decided)
      return decided.then(made => finish(verb, prepared, made), failed)
    } catch (error) {
      return failed(error)
    }
  }
  const decideUnlessBlocked = (verb: 'check' | 'reserve', prepared: Prepared, hold: Hold): Answer => {
    const { ask, nowMs } = prepared
    deps.onCheck(ask.dims.gateway ?? '')
    const block = blockOf(ask, nowMs)
    return block === null ? decide(verb, prepared, hold) : blocked(block, nowMs, asOfMs(nowMs))
  }

  /** No call of its own: the record of the call settles its check, by whatever id, and must not find this instead. */
  const giveBack = async (prepared: Prepared): Promise<Decision> => {
    const ask = { ...prepared.ask, requestId: null }
    return { ...(await decide('record', { ...prepared, ask }, NOT_HELD)), reference: null }
  }

  return {
    prepare(ask) {
      hideKeys(ask.dims, deps.nameOf)
      return prepare(ask, deps.policy(), store.nowMs())
    },
    check: prepared => decideUnlessBlocked('check', prepared, heldOf(prepared)),
    reserve: (prepared, hold) => decideUnlessBlocked('reserve', prepared, hold),
    async look(prepared) {
      const dry = { ...prepared, ask: { ...prepared.ask, isDryRun: true } }
      return { ...(await decide('check', dry, NOT_HELD)), block: blockOf(prepared.ask, prepared.nowMs) }
    },
    record(prepared, isUnderWay = false) {
      deps.onCheck(prepared.ask.dims.gateway ?? '')
      const givesBack = prepared.claims.some(({ cost }) => cost < 0)
      return givesBack ? giveBack(prepared) : decide('record', prepared, isUnderWay ? heldOf(prepared) : NOT_HELD)
    },
    end: async prepared => decide('record', { ...prepared, quotas: [], claims: [], allowances: [] }, NOT_HELD),
    lacking: lack.lately,
  }
}

const toRequest = (verb: DecideRequest['verb'], prepared: Prepared, hold: Hold): DecideRequest => ({
  verb,
  claims: prepared.claims,
  gateway: prepared.ask.dims.gateway ?? '',
  requestId: prepared.ask.requestId,
  caller: prepared.ask.requestId === null ? '' : callerKey(prepared.ask.dims),
  isDryRun: prepared.ask.isDryRun,
  expiresAtMs: hold.expiresAtMs,
  note: hold.note,
})

function prepare(ask: Ask, policy: Policy, nowMs: number): Prepared {
  const { dims } = ask
  const quotas: Quota[] = []
  const claims: Claim[] = []
  const allowances: Allowance[] = []
  let excess: CostExcess | null = null
  for (const quota of policy.candidates(dims.tenant)) {
    if (!matches(quota, dims)) continue
    const { name, unit } = quota
    const subject = subjectKeyOf(quota, dims)
    const allowance = policy.allowance(quota, subject, nowMs)
    // Few are slowed down: of the others no level is kept.
    if (quota.paceOf !== null && allowance.limit === null) continue
    const stated = unit === 'concurrent_requests' ? undefined : ask.cost[unit]
    const estimated = unit === 'concurrent_requests' ? undefined : ask.estimated?.[unit]
    const cost = stated ?? estimated ?? (unit === 'requests' ? 1 : 0)
    const claim = claimOf(quota, subject, { cost, allowance, nowMs })
    const largest = quota.window.kind === 'rate' ? claim.limit : (allowance.limit ?? 0)
    if (claim.isEnforced && stated !== undefined && largest > 0 && stated > largest) {
      excess ??= { quota: name, unit, cost: stated, limit: largest }
    }
    quotas.push(quota)
    claims.push(claim)
    allowances.push(allowance)
  }
  return { ask, policy, nowMs, quotas, claims, allowances, excess }
}

/** When what a check holds is given back, should no record of its call come. */
function heldOf({ quotas, claims, nowMs }: Prepared): Hold {
  let ttlSeconds = 0
  for (let index = 0; index < claims.length; index += 1) {
    if (claims[index]?.isHeld) ttlSeconds = Math.max(ttlSeconds, quotas[index]?.reservation.ttlSeconds ?? 0)
  }
  return ttlSeconds === 0 ? NOT_HELD : { expiresAtMs: nowMs + ttlSeconds * 1000, note: null }
}

function sumUp(summing: DecisionSumming, { quotas, claims, ask, nowMs }: Prepared, decided: StoreDecision): void {
  for (let index = 0; index < quotas.length; index += 1) {
    const quota = quotas[index]
    const claim = claims[index]
    const standing = decided.standings[index]
    if (quota === undefined || claim === undefined || standing === undefined) continue
    const hasDenied = !decided.isAllowed && claim.isEnforced && !standing.fits
    if (quota.paceOf !== null) {
      // What a pace refused was asked of its quota, which comes just before it.
      const isOwnDenial = claims[index - 1]?.isEnforced && decided.standings[index - 1]?.fits === false
      if (hasDenied && !isOwnDenial)
        summing.count(quota.paceOf, claim.subject, ask.dims, { cost: claim.cost, hasDenied, nowMs })
      continue
    }
    // A quota that was not in the way of a denied call has neither allowed nor denied it.
    if (!decided.isAllowed && !hasDenied) continue
    // What is given back is no decision.
    if (claim.cost < 0) continue
    const cost = claim.isSpent || hasDenied ? claim.cost : 0
    summing.count(quota, claim.subject, ask.dims, { cost, hasDenied, nowMs, isJoined: decided.isJoined })
  }
}
