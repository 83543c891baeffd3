/**
 * Which buckets a claim is about, and what they say of it. A window is one bucket. A sliding window is a bucket for each
 * slot, which are added up. What drains is one bucket too, but it has no end: its windows are stretches of time, and
 * whoever spends takes it along into the present one, so that those where nothing was spent end with their stretch.
 */
import { fitsLimit, forgetTaken, type Share, usedOf } from './bucket.ts'
import type { Counters } from './counters.ts'
import { beginDraining, drain, drainMs, isDraining, levelAt } from './draining.ts'
import type { AskedBucket, BucketAddress, Claim, Drain, Slots, Standing } from './limit-store.ts'
import type { OpenWindows, StoredBucket } from './open-windows.ts'

type Target = AskedBucket & { readonly slots?: Slots | null; readonly drain: Drain | null }

/** Where the target spends now. */
export function addressAt(target: Target, nowMs: number): BucketAddress {
  const { slots, drain: drains, series, subject } = target
  const everyMs = slots?.everyMs ?? drains?.keptMs
  if (everyMs === undefined) return target
  const startMs = Math.floor(nowMs / everyMs) * everyMs
  const keptMs = slots?.lengthMs ?? everyMs * (drains?.stretches ?? 1)
  return { series, subject, startMs, endMs: startMs + everyMs + keptMs }
}

/** The bucket that drains, wherever it was taken along to. */
export function findDraining(
  windows: OpenWindows,
  { series, subject }: Pick<BucketAddress, 'series' | 'subject'>,
  { keptMs, stretches = 1 }: Pick<Drain, 'keptMs' | 'stretches'>,
  nowMs: number,
): StoredBucket | undefined {
  const startMs = Math.floor(nowMs / keptMs) * keptMs
  for (let back = 0; back <= stretches; back += 1) {
    const found = windows.findAt(series, subject, startMs - back * keptMs)
    if (found !== undefined) return found
  }
  return undefined
}

/** The last reset that the bucket was told of; 0 for none. */
export const forgottenMs = ({ window, index }: StoredBucket): number => window.forgettings.get(index)?.sinceMs ?? 0

/** True while the bucket has not forgotten what was taken of it before the reset. */
export const isOutdated = (bucket: StoredBucket, sinceMs: number): boolean =>
  bucket.window.startMs <= sinceMs && forgottenMs(bucket) < sinceMs

/** True for a call that began before a reset that the bucket was told of. */
export const isForgiven = (bucket: StoredBucket, startedAtMs: number): boolean => startedAtMs < forgottenMs(bucket)

/** Forgets what was taken of the bucket before the reset, unless it has. Answers whether it was to be done. */
export function forgetBefore({ settled, sequence }: Counters, bucket: StoredBucket, sinceMs: number): boolean {
  if (!isOutdated(bucket, sinceMs)) return false
  forgetTaken(bucket)
  bucket.window.forgettings.set(bucket.index, { sinceMs, epoch: settled.current.epoch, sequence })
  return true
}

/**
 * The bucket to spend in, made if need be; what drains has done so, and what a reset forgets is forgotten. `found` is what
 * `findBucket` has just answered.
 */
export function obtainBucket(counters: Counters, target: Target, nowMs: number, found?: StoredBucket): StoredBucket {
  if (target.drain !== null) return obtainDraining(counters, target, target.drain, nowMs, found)
  const bucket = found ?? counters.windows.obtain(addressAt(target, nowMs))
  forgetBefore(counters, bucket, target.sinceMs)
  return bucket
}

function obtainDraining(
  counters: Counters,
  target: Target,
  drains: Drain,
  nowMs: number,
  found: StoredBucket | undefined,
): StoredBucket {
  const { windows } = counters
  const { keptMs } = drains
  // One that is to be taken along may have been, since it was found.
  const isFound = found !== undefined && !isTakenAlong(found, keptMs, nowMs)
  const before = isFound ? found : findDraining(windows, target, drains, nowMs)
  const isThere = before !== undefined && !isTakenAlong(before, keptMs, nowMs)
  if (before !== undefined) forgetBefore(counters, before, target.sinceMs)
  const bucket = isThere ? before : windows.obtain(addressAt(target, nowMs))
  if (before !== undefined && before !== bucket) takeAlong(before, bucket)
  forgetBefore(counters, bucket, target.sinceMs)
  if (!isDraining(bucket)) beginDraining(bucket, drains, nowMs)
  drain(bucket, drains, nowMs)
  return bucket
}

/** What drains takes a new place in each stretch of time in which it is spent. */
export const isTakenAlong = ({ window }: StoredBucket, keptMs: number, nowMs: number): boolean =>
  window.startMs + keptMs <= nowMs

/** The old bucket keeps what it has until its stretch of time ends. */
function takeAlong(before: StoredBucket, bucket: StoredBucket): void {
  const { settled, reserved, rate, rest, drainedMs, window } = before
  const forgetting = window.forgettings.get(before.index)
  if (forgetting !== undefined) bucket.window.forgettings.set(bucket.index, forgetting)
  Object.assign(bucket, { settled, reserved, rate, rest }, copyOf(before))
  bucket.drainedMs = drainedMs + window.startMs - bucket.window.startMs
}

function copyOf({ gateway, pending, further }: Share): Share {
  const next = further?.next ?? null
  return { gateway, pending, further: further && { ...further, next: next && copyOf(next) } }
}

/** What is taken of the claim, and whether it fits beside that. `found` is what `findBucket` answers to it. */
export function standingOf(
  windows: OpenWindows,
  claim: Claim,
  found: StoredBucket | undefined,
  nowMs: number,
): Standing {
  const bucket = found !== undefined && isOutdated(found, claim.sinceMs) ? undefined : found
  if (claim.slots !== null) return slidingStanding(windows, claim, claim.slots, nowMs)
  if (claim.drain !== null) return drainingStanding(claim, claim.drain, bucket, nowMs)
  const used = bucket === undefined ? 0 : usedOf(bucket)
  const reserved = bucket === undefined ? 0 : bucket.reserved
  return { used, reserved, fits: fitsLimit(used + reserved, claim.cost, claim.limit), fitsAtMs: null }
}

/** The bucket in which the target would spend, or, of what drains, the one to be taken along; undefined before the first. */
export function findBucket(windows: OpenWindows, target: Target, nowMs: number): StoredBucket | undefined {
  if (target.drain !== null) return findDraining(windows, target, target.drain, nowMs)
  return windows.find(addressAt(target, nowMs))
}

function slidingStanding(windows: OpenWindows, claim: Claim, slots: Slots, nowMs: number): Standing {
  const { series, subject, cost, limit, sinceMs } = claim
  const { everyMs, lengthMs } = slots
  const slotAt = (atMs: number) => Math.floor(atMs / everyMs) * everyMs
  const fromMs = Math.max(slotAt(nowMs - lengthMs), slotAt(sinceMs))
  const toMs = slotAt(nowMs)
  const timeline = windows.ofSubject(series, subject)
  let used = 0
  let reserved = 0
  for (const bucket of timeline) {
    const { startMs } = bucket.window
    if (startMs < fromMs || startMs > toMs || isOutdated(bucket, sinceMs)) continue
    used += usedOf(bucket)
    reserved += bucket.reserved
  }
  const fits = fitsLimit(used + reserved, cost, limit)
  if (fits) return { used, reserved, fits, fitsAtMs: null }
  let left = used + reserved
  for (const bucket of timeline) {
    const { startMs } = bucket.window
    if (startMs < fromMs || startMs > toMs || isOutdated(bucket, sinceMs)) continue
    left -= usedOf(bucket) + bucket.reserved
    if (fitsLimit(left, cost, limit)) return { used, reserved, fits, fitsAtMs: startMs + everyMs + lengthMs }
  }
  return { used, reserved, fits, fitsAtMs: null }
}

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
  const used = level / drains.periodMs
  if (waitMs === null) return { used, reserved, fits, fitsAtMs: null }
  // What takes longer to drain is forgotten by then.
  const knownUntilMs = (bucket?.window.startMs ?? nowMs) + drains.keptMs * (1 + (drains.stretches ?? 1))
  return { used, reserved, fits, fitsAtMs: Math.min(nowMs + waitMs, knownUntilMs) }
}
