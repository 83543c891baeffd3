/**
 * What goes into the scripts and what comes out of them. In: JSON, in which a number is printed so that it is read back
 * as the same double. Out: doubles, eight bytes each. So fractions are the same on both sides, bit for bit.
 */
import { chargeOf, heldPlaces } from './deciding.ts'
import { callerPrefix, requestKey } from './ledger.ts'
import {
  type AppliedPosition,
  type BucketAddress,
  type CallSpend,
  type Charge,
  type Claim,
  type DecideRequest,
  type DecisionReference,
  type Drain,
  type LimitStoreError,
  LimitStoreFull,
  type RecordBatch,
  type RecordEffect,
  type Slots,
  type Standing,
  type StoreDecision,
} from './limit-store.ts'
import { DECIDED } from './redis-scripts.ts'
import type { Addition } from './shared-limit-store.ts'
import type { WindowTruth } from './truths.ts'

const DOUBLE_BYTES = 8
/** Numbers that a decision is answered with, before its claims and for each claim. */
const RESULT_NUMBERS = 2
const STANDING_NUMBERS = 7
/** Numbers before the first decision: epoch and buckets. */
const DECIDE_HEAD_NUMBERS = 2

type Json = string | number | boolean | readonly Json[]

// Half a surrogate pair is no UTF-8, and the script's JSON would refuse all of the batch for it.
const toText = (text: string) => (text.isWellFormed() ? text : text.toWellFormed())

/** A window by name. */
const toPlace = ({ series, startMs }: Pick<BucketAddress, 'series' | 'startMs'>) => toText(`${startMs} ${series}`)

/** The window that `places` holds as its end and its place. */
export function parseWindow(text: string): { series: string; startMs: number; endMs: number } {
  const [end = '', start = ''] = text.split(' ', 2)
  const series = text.slice(end.length + start.length + 2)
  return { series, startMs: Number(start), endMs: Number(end) }
}

/** The places of a batch, each said once; answers their numbers, as Lua counts. */
function createPlaces() {
  const numbers = new Map<string, number>()
  return {
    list: () => [...numbers.keys()],
    numberOf(address: BucketAddress) {
      const place = toPlace(address)
      const number = numbers.get(place) ?? numbers.size + 1
      numbers.set(place, number)
      return number
    },
  }
}
type Places = ReturnType<typeof createPlaces>

/**
 * What claims have in common, what requests have in common, and the requests: each of them two numbers or so, and for
 * each claim its kind, subject and cost. Most of a batch is alike, and what is said once is read once.
 */
export function encodeRequests(requests: readonly DecideRequest[]): string {
  const kinds: Claim[] = []
  const manners: DecideRequest[] = []
  const latest = new Map<string, number>()
  const kindOf = (claim: Claim) => {
    const known = latest.get(claim.series) ?? 0
    if (known > 0 && isAlike(claim, kinds[known - 1])) return known
    const number = kinds.push(claim)
    latest.set(claim.series, number)
    return number
  }
  const mannerOf = ({ verb, gateway, isDryRun }: DecideRequest) =>
    manners.findIndex(other => other.verb === verb && other.gateway === gateway && other.isDryRun === isDryRun) + 1
  const encoded = requests.map(request => {
    const { claims, gateway, requestId, caller, expiresAtMs, note } = request
    const key = requestId === null ? '' : toText(requestKey(gateway, requestId))
    const manner = mannerOf(request) || manners.push(request)
    const prefix = requestId === null ? '' : toText(callerPrefix(caller))
    const fields: Json[] = [manner, key, expiresAtMs ?? false, note !== null && toText(note), prefix]
    for (const claim of claims) fields.push(kindOf(claim), toText(claim.subject), claim.cost)
    return fields
  })
  return JSON.stringify([kinds.map(encodeKind), manners.map(encodeManner), encoded])
}

function isAlike(one: Claim, other: Claim | undefined): boolean {
  return (
    one.startMs === other?.startMs &&
    one.endMs === other.endMs &&
    one.sinceMs === other.sinceMs &&
    one.limit === other.limit &&
    one.isSpent === other.isSpent &&
    one.isEnforced === other.isEnforced &&
    one.isNoted === other.isNoted &&
    one.isHeld === other.isHeld &&
    isSame(one.slots, other.slots) &&
    isSame(one.drain, other.drain)
  )
}

/** Made anew for each claim, with the same fields in the same order. */
const isSame = (one: Slots | Drain | null, other: Slots | Drain | null) =>
  one === other || (one !== null && other !== null && Object.values(one).join() === Object.values(other).join())

function encodeKind(claim: Claim): Json {
  const { endMs, limit, isSpent, isNoted = false, isEnforced, isHeld, slots, drain, sinceMs } = claim
  const rolling = [encodeSlots(slots), encodeDrain(drain)]
  return [toPlace(claim), endMs, limit, isSpent, isEnforced, isHeld, ...rolling, sinceMs, isNoted]
}

const encodeManner = ({ verb, gateway, isDryRun }: DecideRequest): Json => [verb, toText(gateway), isDryRun]

const encodeSlots = (slots: Slots | null): Json => slots !== null && [slots.everyMs, slots.lengthMs]

const encodeDrain = (drain: Drain | null): Json => {
  if (drain === null) return false
  const { amount, periodMs, keptMs, stretches, steps } = drain
  const kept = [amount, periodMs, keptMs]
  if (stretches !== undefined) return [...kept, steps ?? false, stretches]
  return steps === undefined ? kept : [...kept, steps]
}

/** The doubles of an answer. */
export function toNumbers(answer: Buffer): number[] {
  const numbers: number[] = []
  for (let at = 0; at < answer.length; at += DOUBLE_BYTES) numbers.push(answer.readDoubleLE(at))
  return numbers
}

/** One decision for each request, or the failure of it. */
export function decodeDecisions(
  answer: Buffer,
  requests: readonly DecideRequest[],
): { bucketCount: number; decisions: (StoreDecision | LimitStoreError)[] } {
  const epoch = answer.readDoubleLE(0)
  const bucketCount = answer.readDoubleLE(DOUBLE_BYTES)
  let at = DECIDE_HEAD_NUMBERS * DOUBLE_BYTES
  const decisions: (StoreDecision | LimitStoreError)[] = []
  for (const request of requests) {
    decisions.push(decodeDecision(answer, at, request, epoch))
    at += (RESULT_NUMBERS + request.claims.length * STANDING_NUMBERS) * DOUBLE_BYTES
  }
  return { bucketCount, decisions }
}

function decodeDecision(
  answer: Buffer,
  from: number,
  request: DecideRequest,
  epoch: number,
): StoreDecision | LimitStoreError {
  const numberAt = (index: number) => answer.readDoubleLE(from + index * DOUBLE_BYTES)
  const result = numberAt(0)
  if (result === DECIDED.noRoomForBuckets) {
    const isFresh = (place: number) => numberAt(RESULT_NUMBERS + place * STANDING_NUMBERS + 4) < 0
    return new LimitStoreFull('buckets', [...request.claims.keys()].filter(isFresh))
  }
  if (result === DECIDED.noRoomForReservations) return new LimitStoreFull('reservations', heldPlaces(request))
  const isJoined = result === DECIDED.joined
  const isAllowed = isJoined || result === DECIDED.allowed
  const hasSpent = isAllowed && !request.isDryRun
  const standings: Standing[] = []
  const charges: Charge[] = []
  let at = RESULT_NUMBERS
  for (const claim of request.claims) {
    const fitsAtMs = numberAt(at + 3)
    standings.push({
      ...{ used: numberAt(at), reserved: numberAt(at + 1), fits: numberAt(at + 2) === 1 },
      fitsAtMs: fitsAtMs === 0 ? null : fitsAtMs,
    })
    const how = chargeOf(request.verb, claim)
    if (hasSpent && how !== null) {
      const [window, bucket, share] = [numberAt(at + 4), numberAt(at + 5), numberAt(at + 6)]
      charges.push({ window, bucket, share, amount: claim.cost, isHeld: how === 'held' })
    }
    at += STANDING_NUMBERS
  }
  const reference = hasSpent ? { epoch, sequence: numberAt(1), charges } : null
  return isJoined ? { isAllowed, reference, standings, isJoined } : { isAllowed, reference, standings }
}

export function encodeReference(reference: DecisionReference): string {
  return JSON.stringify(referenceFields(reference))
}

const referenceFields = ({ epoch, sequence, charges }: DecisionReference): Json[] => [
  // A reservation of unknown cost has no charges.
  ...[epoch, sequence, charges.length === 0 || charges.some(({ isHeld }) => isHeld)],
  flatten(charges),
]

const flatten = (charges: readonly Charge[]) =>
  charges.flatMap(({ window, bucket, share, amount, isHeld }) => [window, bucket, share, amount, isHeld ? 1 : 0])

export function encodeSpends(spends: readonly CallSpend[]): string {
  const fields: Json[] = []
  for (const spend of spends) {
    const { subject, endMs, amount, drain, sinceMs, startedAtMs } = spend
    fields.push(toPlace(spend), toText(subject), endMs, amount, encodeDrain(drain), sinceMs, startedAtMs)
  }
  return JSON.stringify(fields)
}

/** The places, and the costs with who asked. */
export function encodeAdditions(additions: readonly Addition[]): string {
  const places = createPlaces()
  const fields: Json[] = []
  for (const addition of additions) {
    const { subject, endMs, amount, gateway, drain, sinceMs } = addition
    fields.push(places.numberOf(addition), toText(subject), endMs, amount, toText(gateway), encodeDrain(drain), sinceMs)
  }
  return JSON.stringify([places.list(), fields])
}

/** The places, and the effects. */
export function encodeEffects({ effects }: RecordBatch): string {
  const places = createPlaces()
  const encoded = effects.map(effect => encodeEffect(effect, places))
  return JSON.stringify([places.list(), encoded])
}

function encodeEffect(effect: RecordEffect, places: Places): Json {
  const { gateway, requestId, caller, reference, isNameless, spends } = effect
  const keys = requestId === null ? [] : [toText(requestKey(gateway, requestId))]
  if (requestId !== null && gateway !== '') keys.push(toText(requestKey('', requestId)))
  const known = reference ?? { epoch: 0, sequence: 0, charges: [] }
  const fields: Json[] = [toText(gateway), keys, ...referenceFields(known), isNameless, toText(callerPrefix(caller))]
  for (const spend of spends) {
    const { subject, endMs, amount, isRecordsOnly, drain, sinceMs, startedAtMs } = spend
    fields.push(places.numberOf(spend), toText(subject), endMs, amount, isRecordsOnly)
    fields.push(encodeDrain(drain), sinceMs, startedAtMs)
  }
  return fields
}

export function encodePosition({ logId, partition, nextOffset, appliedOffset }: AppliedPosition): string {
  return JSON.stringify({ logId, partition, nextOffset, appliedOffset })
}

export const parsePosition = (text: string): AppliedPosition => JSON.parse(text)

export const parsePositions = (text: string): AppliedPosition[] => JSON.parse(text)

/** What one step of a correction is told of its window. */
export function encodeTruth(truth: WindowTruth): string {
  const resets = Object.fromEntries([...truth.resets].map(([subject, { sinceMs }]) => [toText(subject), sinceMs]))
  return JSON.stringify([toPlace(truth), truth.endMs, truth.isWhole, truth.mayLower, truth.isRecordsOnly, resets])
}

/** The costs by subject, as many subjects a step as `subjectsMax`; one step at least. */
export function encodeCosts({ costs }: WindowTruth, subjectsMax: number): string[] {
  const bySubject = new Map<string, Json[]>()
  for (const { subject, gateway, amount } of costs) {
    // As embedded: calls of unknown cost make no bucket.
    if (amount === 0) continue
    const amounts = bySubject.get(toText(subject)) ?? []
    amounts.push(toText(gateway), amount)
    bySubject.set(toText(subject), amounts)
  }
  const steps: string[] = []
  const subjects = [...bySubject]
  for (let at = 0; at === 0 || at < subjects.length; at += subjectsMax) {
    steps.push(JSON.stringify(subjects.slice(at, at + subjectsMax).flat()))
  }
  return steps
}
