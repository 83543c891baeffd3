/**
 * Counters of one limiter that has to decide alone, while those that all limiters share are away. The same arithmetic in
 * memory, begun with what was last known of each bucket: of a quota this limiter lets at most so much pass as was left
 * then. What it let pass is kept apart, by gateway, until the shared counters have it.
 */
import { nextOf, type Share } from './bucket.ts'
import { addPending, type Counters, keepUntil, noChanges, takeChanges } from './counters.ts'
import { decide } from './deciding.ts'
import { isDraining, levelAt } from './draining.ts'
import type { Known, LastKnown } from './last-known.ts'
import { addEntry, createLedger } from './ledger.ts'
import type { Claim, DecideRequest, Standing, StoreDecision } from './limit-store.ts'
import { createOpenWindows, type OpenWindows, type StoredBucket } from './open-windows.ts'
import { createSettledBits } from './settled-bits.ts'
import { expireReservations } from './settling.ts'
import type { Addition } from './shared-limit-store.ts'
import { findDraining, forgottenMs, obtainBucket } from './standing.ts'

/** Buckets of one outage; those of others fail as in a store that is full. */
const BUCKETS_MAX = 200_000
/** Costs that are handed over at once. */
const ADDITIONS_MAX = 250
const SWEEP_MS = 500

/** Costs that are to be added under one id. */
interface HandOver {
  readonly id: string
  readonly additions: readonly Addition[]
  /** They have been added. */
  done(): void
}

export interface LocalCounters {
  /** Throws `LimitStoreError` when there is no room. */
  decide(request: DecideRequest, nowMs: number): StoreDecision
  /** The next costs that the shared counters lack, the same ones until they are done; null when they lack none. */
  handOver(nowMs: number): HandOver | null
}

/** `name` is not used by any other counters, so that what they hand over is not taken for anybody else's. */
export function createLocalCounters(name: string, lastKnown: LastKnown, beganMs: number): LocalCounters {
  const epoch = { epoch: 0, durableSequence: 0, endedAtMs: null, floorSequence: 0, chunks: new Map() }
  const counters: Counters = {
    windows: createOpenWindows(1),
    ledger: createLedger(0),
    settled: createSettledBits([], epoch, { nowMs: beganMs, forgottenEpoch: 0 }),
    positions: new Map(),
    bucketsMax: BUCKETS_MAX,
    sequence: 0,
    isLost: false,
    changes: noChanges(),
  }
  let sweptMs = beganMs
  let steps = 0
  let step: HandOver | null = null

  const sweep = (nowMs: number) => {
    if (nowMs < sweptMs + SWEEP_MS) return
    sweptMs = nowMs
    expireReservations(counters, nowMs)
    counters.windows.dropEnded(nowMs)
    // Nobody writes them.
    takeChanges(counters)
    counters.ledger.changes.clear()
  }
  return {
    decide(request, nowMs) {
      sweep(nowMs)
      const known = request.claims.map(claim => begin(counters, claim, lastKnown, nowMs))
      const decided = decide(counters, asAlone(request), nowMs)
      const standings = decided.standings.map((standing, index) =>
        withOvershoot(standing, request.claims[index], known[index]),
      )
      return { isAllowed: decided.isAllowed, reference: null, standings, isApproximate: true }
    },
    handOver(nowMs) {
      if (step !== null) return step
      const taken = takeSome(counters, nowMs)
      if (taken.length === 0) return null
      steps += 1
      step = {
        id: `${name}:${steps}`,
        additions: taken.flatMap(({ addition }) => addition ?? []),
        done() {
          for (const { bucket, share, pending } of taken) {
            addPending(bucket, share, -pending)
            bucket.settled += pending
          }
          step = null
        },
      }
      return step
    },
  }
}

/** Nobody can settle it by an id: what would be held is spent, and its record counts instead if it is larger. */
const asAlone = (request: DecideRequest): DecideRequest => ({
  ...request,
  verb: request.verb === 'reserve' ? 'check' : request.verb,
  requestId: null,
  note: null,
  claims: request.claims.map(claim => (claim.isDeniedWhenAway ? { ...claim, limit: 0 } : claim)),
})

function withOvershoot(
  standing: Standing,
  claim: Claim | undefined,
  known: Readonly<Known> | null | undefined,
): Standing {
  const taken = known ? known.used + known.reserved : 0
  return { ...standing, overshootMax: claim === undefined ? 0 : Math.floor(Math.max(0, claim.limit - taken)) }
}

/** Makes the claim's bucket with what was last known, when the claim is the first for it. */
function begin(counters: Counters, claim: Claim, lastKnown: LastKnown, nowMs: number): Readonly<Known> | null {
  const known = lastKnown.find(claim, nowMs)
  if (known === null || hasBegun(counters, claim, nowMs)) return known
  const { used, reserved, atMs, heldUntilMs } = known
  const bucket = obtainBucket(counters, claim, atMs)
  bucket.settled += Math.ceil(used)
  if (reserved <= 0 || heldUntilMs <= nowMs) return known
  bucket.reserved += reserved
  if (claim.drain !== null) keepUntil(counters, bucket.window, heldUntilMs)
  counters.sequence += 1
  const charge = { window: bucket.window.id, bucket: bucket.index, share: 0, amount: reserved, isHeld: true }
  addEntry(counters.ledger, {
    reference: { epoch: counters.settled.current.epoch, sequence: counters.sequence, charges: [charge] },
    madeAtMs: atMs,
    requestKey: null,
    caller: '',
    expiresAtMs: heldUntilMs,
    note: null,
  })
  return known
}

function hasBegun({ windows }: Counters, claim: Claim, nowMs: number): boolean {
  if (claim.drain !== null) return findDraining(windows, claim, claim.drain, nowMs) !== undefined
  if (claim.slots !== null) return windows.ofSubject(claim.series, claim.subject).length > 0
  return windows.find(claim) !== undefined
}

interface Taken {
  readonly bucket: StoredBucket
  readonly share: number
  readonly pending: number
  /** Null when all of it has drained. */
  readonly addition: Addition | null
}

function takeSome({ windows }: Counters, nowMs: number): Taken[] {
  const taken: Taken[] = []
  for (const window of windows.all()) {
    for (const bucket of window.endMs > nowMs ? window.list : []) {
      if (wasTakenAlong(windows, bucket, nowMs)) continue
      let index = 0
      for (let share: Share | null = bucket; share !== null; share = nextOf(share)) {
        const { gateway, pending } = share
        const addition = gateway === null || pending <= 0 ? null : toAddition(bucket, gateway, pending, nowMs)
        if (pending > 0) taken.push({ bucket, share: index, pending, addition })
        index += 1
      }
      if (taken.length >= ADDITIONS_MAX) return taken
    }
  }
  return taken
}

/** What drains is in the bucket that it was taken along to, too. */
const wasTakenAlong = (windows: OpenWindows, bucket: StoredBucket, nowMs: number): boolean =>
  isDraining(bucket) &&
  findDraining(windows, { series: bucket.window.series, subject: bucket.subject }, bucket.rate, nowMs) !== bucket

function toAddition(bucket: StoredBucket, gateway: string, pending: number, nowMs: number): Addition | null {
  const { subject, window } = bucket
  const { series, startMs, endMs } = window
  const place = { series, subject, startMs, endMs, sinceMs: forgottenMs(bucket), gateway }
  if (!isDraining(bucket)) return { ...place, amount: pending, drain: null }
  const { rate } = bucket
  const left = Math.ceil(levelAt(bucket, rate, nowMs) / rate.periodMs)
  return left <= 0 ? null : { ...place, amount: Math.min(pending, left), drain: rate }
}
