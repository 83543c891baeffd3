/** Decisions of a store that has no room for all that they would take: what there is room for is decided as ever. */
import { type Claim, type DecideRequest, LimitStoreFull, type Standing, type StoreDecision } from './limit-store.ts'

/** How long it is said that there is no room, and how often: others have room meanwhile. */
const LACK_MS = 60_000

/** What there was no room for lately. */
export interface Lack {
  note(reason: string): void
  /** Null when there was room for all of it. */
  lately(): string | null
}

/** `tell` hears of each, and whether it has been told lately. */
export function createLack(nowMs: () => number, tell: (reason: string, isNew: boolean) => void): Lack {
  let last: { reason: string; atMs: number } | null = null
  let toldAtMs = Number.NEGATIVE_INFINITY
  return {
    note(reason) {
      last = { reason, atMs: nowMs() }
      const isNew = last.atMs - toldAtMs >= LACK_MS
      if (isNew) toldAtMs = last.atMs
      tell(reason, isNew)
    },
    lately: () => (last !== null && nowMs() - last.atMs < LACK_MS ? last.reason : null),
  }
}

/** At once where the counters are in this process. */
type Decided = StoreDecision | Promise<StoreDecision>

interface RoomDeps {
  decide: (request: DecideRequest) => Decided
  /** Told of what is passed over. */
  onFull: (reason: string) => void
}

/** Of what was passed over nobody knows how much is taken. */
const UNKNOWN: Standing = { used: 0, reserved: 0, fits: true, fitsAtMs: null }

/**
 * What there is no room for is passed over, and a call that may pass is then approximately decided. Throws `LimitStoreFull`
 * where that denies when it cannot be counted.
 */
export function decideInRoom(deps: RoomDeps, request: DecideRequest): Decided {
  try {
    const decided = deps.decide(request)
    return decided instanceof Promise ? decided.catch(error => passOver(deps, request, error)) : decided
  } catch (error) {
    return passOver(deps, request, error)
  }
}

function passOver(deps: RoomDeps, request: DecideRequest, error: unknown): Decided {
  if (!(error instanceof LimitStoreFull)) throw error
  if (error.lacks === 'reservations' && request.verb === 'reserve') {
    deps.onFull(error.message)
    return spendInstead(deps, request)
  }
  const passed = new Set(error.claims)
  const denies = ({ isEnforced, isDeniedWhenAway }: Claim, place: number) =>
    passed.has(place) && isEnforced && isDeniedWhenAway
  if (passed.size === 0 || request.claims.some(denies)) throw error
  deps.onFull(error.message)
  const claims = request.claims.filter((_, place) => !passed.has(place))
  return after(decideInRoom(deps, { ...request, claims }), decided => {
    const known = decided.standings.values()
    const standings = request.claims.map((_, place) => (passed.has(place) ? null : known.next().value) ?? UNKNOWN)
    return { ...decided, standings, isApproximate: decided.isApproximate ?? decided.isAllowed }
  })
}

/** What is not held nobody can settle: it is spent, and its record counts instead if that is larger. */
function spendInstead(deps: RoomDeps, request: DecideRequest): Decided {
  return after(decideInRoom(deps, { ...request, verb: 'check', note: null }), decided => ({
    ...decided,
    reference: null,
    isApproximate: decided.isApproximate ?? decided.isAllowed,
  }))
}

const after = (decided: Decided, then: (decision: StoreDecision) => StoreDecision): Decided =>
  decided instanceof Promise ? decided.then(then) : then(decided)
