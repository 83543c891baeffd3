/**
 * Where the limiter counts. One interface, two cases (embedded: memory with write-behind to LMDB; Redis: one script a
 * decision), one contract suite (`test/contract/limit-store.ts`). A store knows nothing of quotas: it is given the
 * buckets that a decision concerns, with their window's bounds, and adds, compares and expires. Every method is atomic.
 */

import type { Comparison, Corrections, WindowTruth } from './truths.ts'

/** One bucket: a series (a quota's name, unit, window definition and dimensions), a subject in it, and a window. */
export interface BucketAddress {
  readonly series: string
  readonly subject: string
  readonly startMs: number
  readonly endMs: number
}

/** A bucket as whoever knows the quota asks for it. */
export interface AskedBucket extends BucketAddress {
  /** The subject's last reset; 0 without one. Told first, all that is taken of a bucket that began before is forgotten. */
  readonly sinceMs: number
}

/** A sliding window: on the store's clock, what was taken in a slot counts until `lengthMs` after the slot's end. */
export interface Slots {
  /** Slots begin at multiples of it. */
  readonly everyMs: number
  readonly lengthMs: number
}

/** A rate: on the store's clock, `amount` units drain in each period, as long as there are any. */
export interface Drain {
  readonly amount: number
  readonly periodMs: number
  /** A bucket is forgotten when nothing was spent in it for so long, `stretches` times, at the earliest. */
  readonly keptMs: number
  /** Absent: 1. */
  readonly stretches?: number
  /** From when on it is so many, ascending, past and to come; before, what was told last. Absent: `amount` since then. */
  readonly steps?: readonly (readonly [fromMs: number, amount: number])[]
}

/** What a decision wants of one bucket. */
export interface Claim extends AskedBucket {
  readonly limit: number
  readonly cost: number
  /** False where only call records spend: the claim is compared and nothing more. */
  readonly isSpent: boolean
  /** A check that takes nothing, as its cost is unknown, still says where its call is to be counted. */
  readonly isNoted?: boolean
  /** What a check takes is held, not spent. What is recorded was never held. */
  readonly isHeld: boolean
  /** Not null: all slots that count are added up, and the bucket is the one of the present slot. */
  readonly slots: Slots | null
  /** Not null: what has drained does not count, and the bucket is the one that there is, or a new one. */
  readonly drain: Drain | null
  /** False for shadow quotas: whether the claim fits is answered and has no effect. */
  readonly isEnforced: boolean
  /** Nothing fits while the counters that all limiters share are away. */
  readonly isDeniedWhenAway: boolean
}

/**
 * - `check`: decides and spends
 * - `reserve`: decides and holds the cost until it is settled, released, or expires
 * - `record`: spends in any case, for costs that are known afterwards
 */
type Verb = 'check' | 'reserve' | 'record'

export interface DecideRequest {
  readonly verb: Verb
  readonly claims: readonly Claim[]
  /** Who asks; an empty text for nobody in particular. */
  readonly gateway: string
  /** The gateway's id of the call, by which its record is found when the decision's id is not handed on. */
  readonly requestId: string | null
  /** Whose call it is: clients choose ids, and two of them the same one. An empty text for nobody in particular. */
  readonly caller: string
  /** Computes and spends nothing. */
  readonly isDryRun: boolean
  /**
   * When what is held is given back by itself; null where nothing is. Of a `record`: when what the check with the same
   * request id holds is; null when that is now, as its call has ended.
   */
  readonly expiresAtMs: number | null
  /** What a reservation is for, so that its id is enough to settle it; at most `NOTE_CHARACTERS_MAX`, only with `reserve`. */
  readonly note: string | null
}

/** What was taken from one bucket. The numbers are the store's own names for it. */
export interface Charge {
  readonly window: number
  readonly bucket: number
  readonly share: number
  readonly amount: number
  /** Held, not spent. */
  readonly isHeld: boolean
  /** Among those of a check, of what its call has spent since: the sequence of that decision. */
  readonly joinedSequence?: number
  /** Its epoch, where that is not the check's. */
  readonly joinedEpoch?: number
}

/** A decision that spent: enough to undo it, wherever it comes back from. */
export interface DecisionReference {
  /** One life of the store. Counters that were lost belong to another one. */
  readonly epoch: number
  readonly sequence: number
  readonly charges: readonly Charge[]
}

/** A bucket as it is after the decision. */
export interface Standing {
  used: number
  reserved: number
  /** Whether the claim fitted before the decision. */
  readonly fits: boolean
  /**
   * Of slots and of what drains: when a claim that did not fit will, if nobody else spends and what is held stays held.
   * Null: it fits, waiting does not help, or the window's end tells.
   */
  readonly fitsAtMs: number | null
  /** Of an approximate decision: what was left when the shared counters were last seen, which each limiter may let pass. */
  readonly overshootMax?: number
}

export interface StoreDecision {
  /** All enforced claims fitted, or the verb was `record`. */
  readonly isAllowed: boolean
  /** Null when nothing was spent: denied, or a dry run. */
  readonly reference: DecisionReference | null
  /** One for each claim, in their order. */
  readonly standings: readonly Standing[]
  /** Made by this limiter alone, as the counters that all of them share are away. */
  readonly isApproximate?: boolean
  /** What a call has spent since its check, together with which it will be settled. */
  readonly isJoined?: boolean
}

/** Cost for one bucket. Buckets of windows that have ended are passed over. */
export interface Spend extends AskedBucket {
  readonly amount: number
  /** As of a claim: it is spent now, whatever the bounds. */
  readonly drain: Drain | null
}

/** True cost of a call. Passed over, too, where the bucket has been told of a reset since it began. */
export interface CallSpend extends Spend {
  readonly startedAtMs: number
}

export interface RecordSpend extends CallSpend {
  /** The quota counts records only: no check can stand for this cost. */
  readonly isRecordsOnly: boolean
}

/** What one call record does. */
export interface RecordEffect {
  /** From a decision id whose signature was right. */
  readonly reference: DecisionReference | null
  readonly gateway: string
  readonly requestId: string | null
  readonly caller: string
  /** The log does not say who called: the tenant or the consumer is unknown. */
  readonly isNameless: boolean
  readonly spends: readonly RecordSpend[]
}

/** How far one partition of the log has been applied. */
export interface AppliedPosition {
  readonly logId: string
  readonly partition: number
  /** Where reading goes on. */
  readonly nextOffset: number
  /** Offset of the last record that was applied, neither a duplicate nor unreadable; -1 for none. */
  readonly appliedOffset: number
}

export interface RecordBatch {
  readonly effects: readonly RecordEffect[]
  /** Kept in the same transaction as the effects. */
  readonly position: AppliedPosition
  /** Series whose quotas count checks only: a record leaves their charges as they are. */
  readonly checksOnly: ReadonlySet<string>
  /** Series of calls under way: a record gives back what they took, whosever it is. */
  readonly held: ReadonlySet<string>
}

/** What became of the effects of a batch. */
export interface RecordCounts {
  /** Replaced an estimate by the true cost. */
  linked: number
  /** Spent as they arrived. */
  unlinked: number
  /** Belong to a decision that another record has settled, or that is too old to know. */
  repeated: number
}

export type SettleOutcome = 'settled' | 'already_settled'

/** A reservation that nothing has settled yet. */
export interface Reservation {
  readonly madeAtMs: number
  /** Null when it has expired: what it held was given back. */
  readonly expiresAtMs: number | null
  readonly note: string
}

export interface HeldReservation extends Reservation {
  readonly reference: DecisionReference
}

/** Decisions are made in the order of epochs, then of sequences. */
export type DecisionOrder = Pick<DecisionReference, 'epoch' | 'sequence'>

export interface LimitStore {
  /** The store's one clock, Unix milliseconds; it does not go back. */
  nowMs(): number
  /** Spends all claims or none. Throws `LimitStoreError`, `LimitStoreFull` among them. */
  decide(request: DecideRequest): Promise<StoreDecision>
  /** The same without a promise, where the counters are in this process; null elsewhere. */
  readonly decideAtOnce: ((request: DecideRequest) => StoreDecision) | null
  /** Replaces what a decision took by the true costs, once. */
  settle(reference: DecisionReference, spends: readonly CallSpend[]): Promise<SettleOutcome>
  /** Gives back what a decision took, once. The record of its call spends nothing. */
  release(reference: DecisionReference): Promise<SettleOutcome>
  /** The same for one that nobody was told of: a call that is made all the same spends by its record, as any other. */
  undo(reference: DecisionReference): Promise<SettleOutcome>
  /** What a reservation was for; `unknown` when it was lost, or forgotten after `NOTE_HORIZON_MS`. */
  reservation(reference: DecisionReference): Promise<Reservation | 'settled' | 'unknown'>
  /** At most `max` reservations that are held and have a note, in the order of the decisions, after the given one. */
  reservations(after: DecisionOrder | null, max: number): Promise<HeldReservation[]>
  applyRecords(batch: RecordBatch): Promise<RecordCounts>
  /** Effects of one `applyRecords` after which decisions should have their turn: about a millisecond. */
  readonly recordsAtOnceMax: number
  position(logId: string, partition: number): Promise<AppliedPosition | null>
  /** Records were missed, which is a loss, too: every open window has to be compared whole. */
  forgetComparisons(): Promise<void>
  /** Marks what every open bucket has recorded up to now. */
  beginComparison(): Promise<Comparison>
  /**
   * Ends the comparison for these windows; a bucket without a cost in its window's truth has none in the store. Does
   * nothing when another comparison has begun or `forgetComparisons` came between.
   */
  correct(comparisonId: number, truths: readonly WindowTruth[]): Promise<Corrections>
  /**
   * Has each bucket hold at least its amount: what is missing of it is spent as by checks of nobody in particular. For
   * counters that were lost and of which somebody else knows what they held; with an amount of 0, to tell of a reset.
   */
  raise(floors: readonly Spend[]): Promise<void>
  /** How often counters were found to lack something: empty or older than they had been, opening included. */
  losses(): number
  /** What is lost as far as `losses` tells is rebuilt: until then, whoever opens the counters is told of a loss. */
  rebuilt(): Promise<void>
  /** Buckets in open windows. */
  bucketCount(): number
  /** Why decisions are not counted now, or `null`. */
  unavailable(): string | null
  /** Whether it has known its counters, and they are still its own: what stands in for them begins with what they held. */
  isJoined(): boolean
  close(): Promise<void>
}

export type LimitStoreErrorCode =
  | 'LIMITS_UNAVAILABLE'
  | 'LIMITS_FULL'
  | 'LIMITS_TAKEN_OVER'
  | 'LIMITS_OPEN_TWICE'
  | 'LIMITS_FORMAT'

/** A failure of the limit store; a denial is none. */
export class LimitStoreError extends Error {
  readonly code: LimitStoreErrorCode
  readonly retryable: boolean

  constructor(code: LimitStoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'LimitStoreError'
    this.code = code
    this.retryable = code === 'LIMITS_UNAVAILABLE' || code === 'LIMITS_FULL'
  }
}

/** There is no room for what a decision would take: nothing was spent. */
export class LimitStoreFull extends LimitStoreError {
  readonly lacks: 'buckets' | 'reservations'
  /** The claims that there is no room for, by their places in the request. */
  readonly claims: readonly number[]

  constructor(lacks: LimitStoreFull['lacks'], claims: readonly number[]) {
    super(
      'LIMITS_FULL',
      lacks === 'buckets'
        ? 'no room for more subjects in open windows: raise limits.bucketsMax'
        : 'no room for more reservations',
    )
    this.name = 'LimitStoreFull'
    this.lacks = lacks
    this.claims = claims
  }
}
