/**
 * Reservations: a ledger of estimates that are held for calls under way. Each has an id, an owner and an end; what is held
 * is replaced by the true cost, given back, or given back by itself at the end. What a reservation was for is kept beside
 * it, so that its id is enough to settle it, once, whoever comes first: the caller or the record of the call.
 */
import type { Policy } from '../policy/policy.ts'
import type { Dimensions, Quota } from '../policy/quota.ts'
import type { QuotaUnit, Unit } from '../usage/units.ts'
import type { DecisionIds } from './decision-id.ts'
import type { DecisionSumming } from './decision-summing.ts'
import { DoorError } from './door-error.ts'
import { ESTIMATED_UNITS, type EstimatedUnit, type Estimates } from './estimates.ts'
import { NOTE_CHARACTERS_MAX } from './ledger.ts'
import type { DecisionReference, LimitStore, Reservation, SettleOutcome } from './limit-store.ts'
import type { Ask, Cost, Decision, Limiter, Prepared } from './limiter.ts'
import { spendsOf } from './spending.ts'

/** How long is held what no quota says anything of. */
const TTL_SECONDS_USUAL = 120

/** What is wanted of one reservation. */
interface ReservationWish {
  readonly ask: Ask
  /** Most tokens that the call may generate; null where nobody limits them. */
  readonly maxTokens: number | null
  /** Null: as long as the quotas concerned say, the longest of them. */
  readonly ttlSeconds: number | null
  readonly owner: string
}

/** What a reservation took of one quota. */
interface HeldUnits {
  quota: string
  unit: QuotaUnit
  amount: number
  isEstimated: boolean
}

interface PreparedReservation {
  readonly prepared: Prepared
  readonly expiresAtMs: number
  readonly note: string
}

export interface Reserved {
  decision: Decision
  /** Null when nothing is held: denied, or the limit store is away. */
  id: string | null
  expiresAtMs: number
  held: HeldUnits[]
}

/** What is kept with what is held. */
export interface ReservationNote {
  readonly owner: string
  readonly dims: Dimensions
  readonly cost: Cost
}

/** `unknown`: lost with counters that had not been written, or made days ago. Then nothing is held, and nothing is spent. */
type ReservationOutcome = SettleOutcome | 'unknown'

/** A reservation by its id, as far as the caller may know of it. */
interface Found {
  readonly reference: DecisionReference
  readonly reservation: Reservation
  readonly note: ReservationNote
}

export interface Reservations {
  /** `Prepared.excess` of it is a stated cost that can never fit. Throws `DoorError` for more text than can be kept. */
  prepare(wish: ReservationWish): PreparedReservation
  reserve(prepared: PreparedReservation): Promise<Reserved>
  /** Reads an id. Throws `DoorError` for one that is no id of a reservation. */
  parseId(id: string): DecisionReference
  /**
   * Replaces what is held by the true costs; a unit that is not stated cost what was reserved. `tenant` is the only one
   * that the caller may speak for, or null. Throws `LimitStoreError`.
   */
  settle(reference: DecisionReference, cost: Cost, tenant: string | null): Promise<ReservationOutcome>
  /** Gives back what is held: the call was not made. Throws `LimitStoreError`. */
  release(reference: DecisionReference, tenant: string | null): Promise<ReservationOutcome>
  /** Gives back what nobody was told is held: a call that is made all the same spends by its record. Throws `LimitStoreError`. */
  undo(reference: DecisionReference): Promise<SettleOutcome>
}

export interface ReservationsDeps {
  limiter: Limiter
  store: LimitStore
  policy: () => Policy
  summing: DecisionSumming
  estimates: Estimates
  decisionIds: DecisionIds
}

export function createReservations(deps: ReservationsDeps): Reservations {
  const { limiter, store, estimates, decisionIds } = deps

  const find = async (
    reference: DecisionReference,
    tenant: string | null,
  ): Promise<Found | 'already_settled' | 'unknown'> => {
    const reservation = await store.reservation(reference)
    if (reservation === 'settled') return 'already_settled'
    if (reservation === 'unknown') return 'unknown'
    const note = parseNote(reservation.note)
    if (tenant !== null && note.dims.tenant !== tenant) return 'unknown'
    return { reference, reservation, note }
  }

  return {
    prepare(wish) {
      const ask = withEstimates(wish, estimates)
      const prepared = limiter.prepare(ask)
      const ttlSeconds = wish.ttlSeconds ?? longestTtl(prepared.quotas)
      const note = toNote({ owner: wish.owner, dims: ask.dims, cost: { ...ask.estimated, ...ask.cost } })
      return { prepared, expiresAtMs: prepared.nowMs + ttlSeconds * 1000, note }
    },
    async reserve({ prepared, expiresAtMs, note }) {
      const decision = await limiter.reserve(prepared, { expiresAtMs, note })
      noteDenial(estimates, prepared, decision)
      const id = decision.reference === null ? null : decisionIds.encode(decision.reference)
      if (decision.reference !== null && id === null) {
        await store.undo(decision.reference)
        throw new DoorError(400, 'reservation_invalid', 'so many quotas cover this call that no id can name them')
      }
      return { decision, id, expiresAtMs, held: id === null ? [] : heldUnits(prepared) }
    },
    parseId(id) {
      const reference = decisionIds.decode(id)
      if (reference === null) throw new DoorError(400, 'reservation_invalid', `not an id of a reservation: ${id}`)
      return reference
    },
    async settle(reference, cost, tenant) {
      const found = await find(reference, tenant)
      return typeof found === 'string' ? found : settleFound(deps, found, cost)
    },
    async release(reference, tenant) {
      const found = await find(reference, tenant)
      return typeof found === 'string' ? found : store.release(reference)
    },
    undo: store.undo,
  }
}

/** Reads what was kept with a reservation. */
export const parseNote = (note: string): ReservationNote => JSON.parse(note)

function toNote(content: ReservationNote): string {
  const note = JSON.stringify(content)
  if (note.length <= NOTE_CHARACTERS_MAX) return note
  throw new DoorError(
    400,
    'reservation_invalid',
    `a reservation keeps ${NOTE_CHARACTERS_MAX} characters of its call: these dimensions take ${note.length}`,
  )
}

function withEstimates({ ask, maxTokens }: ReservationWish, estimates: Estimates): Ask {
  const cost = withTotal(ask.cost)
  return { ...ask, cost, estimated: estimates.estimate(ask.dims, { cost, maxTokens }) }
}

/** Tokens in and out are all tokens. */
function withTotal(cost: Cost): Cost {
  const { input_tokens: input, output_tokens: output, total_tokens: total } = cost
  return total === undefined && input !== undefined && output !== undefined
    ? { ...cost, total_tokens: input + output }
    : cost
}

function longestTtl(quotas: readonly Quota[]): number {
  const ttls = quotas.map(({ reservation }) => reservation.ttlSeconds)
  return ttls.length === 0 ? TTL_SECONDS_USUAL : Math.max(...ttls)
}

function heldUnits({ ask, quotas, claims }: Prepared): HeldUnits[] {
  return quotas.flatMap(({ name, unit }, index) => {
    const claim = claims[index]
    if (claim === undefined || !claim.isSpent || claim.cost === 0) return []
    return [{ quota: name, unit, amount: claim.cost, isEstimated: isEstimated(ask, unit) }]
  })
}

const isEstimated = ({ cost, estimated }: Ask, unit: QuotaUnit): unit is EstimatedUnit =>
  ESTIMATED_UNITS.some(one => one === unit && cost[one] === undefined && estimated?.[one] !== undefined)

/** What was denied on an estimate might have fitted with its true cost; a stated cost that is in the way is true. */
function noteDenial(estimates: Estimates, { ask, quotas }: Prepared, decision: Decision): void {
  if (decision.isAllowed || decision.isDegraded || decision.block !== null) return
  let probability = 1
  let hasEstimate = false
  for (const [index, { name, unit }] of quotas.entries()) {
    if (!decision.violated.includes(name)) continue
    const share = isEstimated(ask, unit)
      ? estimates.shareUpTo(ask.dims, ask.cost, unit, decision.quotas[index]?.remaining ?? 0)
      : null
    hasEstimate ||= share !== null
    probability = Math.min(probability, share ?? 0)
  }
  if (hasEstimate) estimates.denied(probability)
}

/** The call spends where it began; a quota that counts records only waits for its record. */
async function settleFound(
  { store, policy, summing, estimates }: ReservationsDeps,
  { reference, reservation, note }: Found,
  stated: Cost,
): Promise<SettleOutcome> {
  const cost: Cost = { requests: 1, ...note.cost, ...withTotal(stated) }
  const nowMs = store.nowMs()
  const { dims } = note
  const costIn = (unit: Unit) => cost[unit] ?? 0
  const spends = spendsOf({ dims, startedAtMs: reservation.madeAtMs, nowMs, costIn }, policy(), countsChecks)
  const outcome = await store.settle(
    reference,
    spends.map(({ spend }) => spend),
  )
  if (outcome === 'already_settled') return outcome
  for (const { quota, spend } of spends) {
    if (quota.paceOf !== null) continue
    summing.count(quota, spend.subject, dims, { cost: spend.amount, hasDenied: false, nowMs })
  }
  estimates.learn(dims, withTotal(stated))
  return outcome
}

const countsChecks = ({ counts }: Quota) => counts !== 'records'
