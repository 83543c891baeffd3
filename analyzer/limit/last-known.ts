/**
 * What was taken of each bucket when the shared counters last answered for it: what a limiter that has to decide alone
 * begins with. Bounded: what was asked for longest ago is forgotten first, in halves.
 */
import type { BucketAddress, Claim, Standing } from './limit-store.ts'
import { ownText } from './own-text.ts'
import type { Addition } from './shared-limit-store.ts'

/** Buckets that are remembered at least, and half of those that are at most; each takes about 150 bytes. */
const HALF_MAX = 100_000

export interface Known {
  /** Begin of the window, or of the slot that was the present one. */
  startMs: number
  used: number
  reserved: number
  atMs: number
  /** By then nothing of `reserved` is held any more. */
  heldUntilMs: number
  isSliding: boolean
}

export interface LastKnown {
  note(claim: Claim, standing: Standing, at: Pick<Known, 'atMs' | 'heldUntilMs'>): void
  /** What this limiter let pass alone has been added to the bucket. */
  added(addition: Addition, nowMs: number): void
  /** What still counts of it; null when nothing is known, or nothing of it counts now. */
  find(claim: Claim, nowMs: number): Readonly<Known> | null
}

type Half = Map<string, Map<string, Known>>

export function createLastKnown(halfMax = HALF_MAX): LastKnown {
  let recent: Half = new Map()
  let older: Half = new Map()
  let recentCount = 0

  const remember = ({ series, subject, startMs }: BucketAddress): Known => {
    if (recentCount >= halfMax) {
      older = recent
      recent = new Map()
      recentCount = 0
    }
    recentCount += 1
    const known = { startMs, used: 0, reserved: 0, atMs: 0, heldUntilMs: 0, isSliding: false }
    const ofSeries = recent.get(series) ?? new Map<string, Known>()
    recent.set(series, ofSeries.set(ownText(subject), known))
    return known
  }
  const lookUp = ({ series, subject }: BucketAddress) =>
    recent.get(series)?.get(subject) ?? older.get(series)?.get(subject)
  return {
    note(claim, { used, reserved }, { atMs, heldUntilMs }) {
      const known = recent.get(claim.series)?.get(claim.subject) ?? remember(claim)
      known.startMs = claim.startMs
      known.isSliding = claim.slots !== null
      known.used = used
      known.reserved = reserved
      known.atMs = atMs
      // What was held before for longer may be held still.
      known.heldUntilMs = reserved > 0 ? Math.max(known.heldUntilMs, heldUntilMs) : heldUntilMs
    },
    added(addition, nowMs) {
      const { series, subject, startMs, amount } = addition
      const known = lookUp(addition)
      if (known !== undefined && (known.isSliding || known.startMs === startMs)) known.used += amount
      else {
        const begun = recent.get(series)?.get(subject) ?? remember(addition)
        Object.assign(begun, { startMs, used: amount, reserved: 0, atMs: nowMs })
      }
    },
    find(claim, nowMs) {
      const known = lookUp(claim)
      return known !== undefined && counts(known, claim, nowMs) ? known : null
    },
  }
}

/** Of what drains, how much still counts follows from its instant. */
function counts(
  { startMs, atMs }: Known,
  { slots, drain, sinceMs, startMs: nowStartMs }: Claim,
  nowMs: number,
): boolean {
  if (atMs <= sinceMs) return false
  if (drain !== null) return true
  if (slots === null) return startMs === nowStartMs
  return atMs + slots.everyMs + slots.lengthMs > nowMs
}
