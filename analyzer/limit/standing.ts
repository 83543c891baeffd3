/**
 * Which buckets a claim is about, and what they say of it. A window is one bucket. A sliding window is a bucket for each
 * slot, which are added up. What drains is one bucket too, but it has no end: its windows are stretches of time, and
 * whoever spends takes it along into the present one, so that those where nothing was spent end with their stretch.
 */
import { fitsLimit, type Share, usedOf } from './bucket.ts'
import { beginDraining, drain, drainMs, isDraining, levelAt } from './draining.ts'
import type { BucketAddress, Claim, Drain, Slots, Standing } from './limit-store.ts'
import type { OpenWindows, StoredBucket } from './open-windows.ts'

type Target = BucketAddress & { readonly slots?: Slots | null; readonly drain: Drain | null }

/** Where the target spends now. */
export function addressAt(target: Target, nowMs: number): BucketAddress {
  const { slots, drain: drains, series, subject } = target
  const everyMs = slots?.everyMs ?? drains?.keptMs
  if (everyMs === undefined) return target
  const startMs = Math.floor(nowMs / everyMs) * everyMs
  return { series, subject, startMs, endMs: startMs + everyMs + (slots?.lengthMs ?? everyMs) }
}

/** The bucket that drains, wherever it was taken along to. */
export function findDraining(
  windows: OpenWindows,
  { series, subject }: Pick<BucketAddress, 'series' | 'subject'>,
  keptMs: number,
  nowMs: number,
): StoredBucket | undefined {
  const startMs = Math.floor(nowMs / keptMs) * keptMs
  return windows.findAt(series, subject, startMs) ?? windows.findAt(series, subject, startMs - keptMs)
}

/** The bucket to spend in, made if need be; what drains has done so. `found` is what `findBucket` has just answered. */
export function obtainBucket(windows: OpenWindows, target: Target, nowMs: number, found?: StoredBucket): StoredBucket {
  if (target.drain === null) return found ?? windows.obtain(addressAt(target, nowMs))
  const { keptMs } = target.drain
  // One that is to be taken along may have been, since it was found.
  const isFound = found !== undefined && !isTakenAlong(found, keptMs, nowMs)
  const before = isFound ? found : findDraining(windows, target, keptMs, nowMs)
  const isThere = before !== undefined && !isTakenAlong(before, keptMs, nowMs)
  const bucket = isThere ? before : windows.obtain(addressAt(target, nowMs))
  if (before !== undefined && before !== bucket) takeAlong(before, bucket)
  if (!isDraining(bucket)) beginDraining(bucket, target.drain, nowMs)
  drain(bucket, target.drain, nowMs)
  return bucket
}

/** What drains takes a new place in each stretch of time in which it is spent. */
export const isTakenAlong = ({ window }: StoredBucket, keptMs: number, nowMs: number): boolean =>
  window.startMs + keptMs <= nowMs

/** The old bucket keeps what it has until its stretch of time ends. */
function takeAlong(before: StoredBucket, bucket: StoredBucket): void {
  const { settled, reserved, rate, rest, drainedMs, window } = before
  Object.assign(bucket, { settled, reserved, rate, rest }, copyOf(before))
  bucket.drainedMs = drainedMs + window.startMs - bucket.window.startMs
}

function copyOf({ gateway, pending, further }: Share): Share {
  const next = further?.next ?? null
  return { gateway, pending, further: further && { ...further, next: next && copyOf(next) } }
}

/** What is taken of the claim, and whether it fits beside that. `bucket` is what `findBucket` answers to it. */
export function standingOf(
  windows: OpenWindows,
  claim: Claim,
  bucket: StoredBucket | undefined,
  nowMs: number,
): Standing {
  if (claim.slots !== null) return slidingStanding(windows, claim, claim.slots, nowMs)
  if (claim.drain !== null) return drainingStanding(claim, claim.drain, bucket, nowMs)
  const used = bucket === undefined ? 0 : usedOf(bucket)
  const reserved = bucket === undefined ? 0 : bucket.reserved
  return { used, reserved, fits: fitsLimit(used + reserved, claim.cost, claim.limit), fitsAtMs: null }
}

/** The bucket in which the target would spend, or, of what drains, the one to be taken along; undefined before the first. */
export function findBucket(windows: OpenWindows, target: Target, nowMs: number): StoredBucket | undefined {
  if (target.drain !== null) return findDraining(windows, target, target.drain.keptMs, nowMs)
  return windows.find(addressAt(target, nowMs))
}

function slidingStanding(windows: OpenWindows, claim: Claim, slots: Slots, nowMs: number): Standing {
  const { series, subject, cost, limit } = claim
  const { everyMs, lengthMs, sinceMs } = slots
  const slotAt = (atMs: number) => Math.floor(atMs / everyMs) * everyMs
  const fromMs = Math.max(slotAt(nowMs - lengthMs), sinceMs)
  const toMs = slotAt(nowMs)
  const timeline = windows.ofSubject(series, subject)
  let used = 0
  let reserved = 0
  for (const bucket of timeline) {
    const { startMs } = bucket.window
    if (startMs < fromMs || startMs > toMs) continue
    used += usedInSlot(bucket, slots)
    reserved += bucket.reserved
  }
  const fits = fitsLimit(used + reserved, cost, limit)
  if (fits) return { used, reserved, fits, fitsAtMs: null }
  let left = used + reserved
  for (const bucket of timeline) {
    const { startMs } = bucket.window
    if (startMs < fromMs || startMs > toMs) continue
    left -= usedInSlot(bucket, slots) + bucket.reserved
    if (fitsLimit(left, cost, limit)) return { used, reserved, fits, fitsAtMs: startMs + everyMs + lengthMs }
  }
  return { used, reserved, fits, fitsAtMs: null }
}

const usedInSlot = (bucket: StoredBucket, { sinceMs, forgiven }: Slots): number =>
  bucket.window.startMs === sinceMs ? Math.max(0, usedOf(bucket) - forgiven) : usedOf(bucket)

function drainingStanding(
  { cost, limit }: Claim,
  drains: Drain,
  bucket: StoredBucket | undefined,
  nowMs: number,
): Standing {
  const level = bucket !== undefined && isDraining(bucket) ? levelAt(bucket, drains, nowMs) : 0
  const reserved = bucket?.reserved ?? 0
  const over = level + (reserved + cost - limit) * drains.periodMs
  const fits = cost > 0 ? over <= 0 : over < 0
  const waitMs = fits ? null : drainMs(level, drains, { reserved, cost, limit })
  return { used: level / drains.periodMs, reserved, fits, fitsAtMs: waitMs === null ? null : nowMs + waitMs }
}
