/**
 * The last forecasts of a quota's subjects, as a few numbers each: as plain objects they would take two kilobytes. What is
 * forecast anew is written over what there was, so whoever holds a forecast sees the new one.
 */
import type { Crossing } from '../forecast/calibrate.ts'
import type { Forecast, InstantQuantiles, Quantiles } from '../forecast/forecaster.ts'
import type { LimitStep } from '../forecast/limit-steps.ts'
import { subjectMap } from '../policy/subject.ts'
import type { SubjectValues } from '../usage/selection.ts'
import type { UpstreamReading } from '../usage/upstream.ts'
import { type Allowed, isSameAllowed } from './allowed.ts'
import type { FollowedQuota } from './followed-quota.ts'
import { shortened, whole } from './phrases.ts'
import { type FollowedForecast, ownerOf, type SubjectForecast } from './subject-forecast.ts'

export interface FollowedForecasts {
  keys(): IterableIterator<string>
  /** In the order in which they were first made. */
  values(): IterableIterator<FollowedOne>
  entries(): IterableIterator<[key: string, FollowedOne]>
  get(key: string): FollowedOne | undefined
  /** Of a subject of the quota. */
  set(key: string, subject: SubjectValues, made: FollowedForecast): void
  delete(key: string): void
}

/** A forecast that is kept from one tick to the next. */
export interface FollowedOne extends SubjectForecast {
  /** What it was made under. */
  readonly allowed: Allowed
  /** Without new calls it is good until then. */
  readonly dueAtMs: number
}

/** Forecasts whose numbers are in one buffer; it goes when the last of them does. */
const ROWS = 32
/** Places of numbers in a row; what is not known is NaN. */
const AT = {
  ...{ used: 0, windowStartMs: 1, windowEndMs: 2, asOfMs: 3, dueAtMs: 4, probability: 5, burnRate: 6 },
  ...{ exhaustionAtMs: 7, usageAtReset: 10, headroom: 13 },
} as const
const WIDTH = 16

export function createFollowedForecasts(quota: FollowedQuota): FollowedForecasts {
  const all = new Map<string, FollowedRow>()
  let numbers = new Float64Array()
  let taken = ROWS
  let lastAllowed: Allowed | null = null
  const rowFor = (subject: SubjectValues) => {
    if (taken === ROWS) {
      numbers = new Float64Array(ROWS * WIDTH)
      taken = 0
    }
    return new FollowedRow(quota, subject, { numbers, at: WIDTH * taken++ })
  }
  return {
    keys: () => all.keys(),
    values: () => all.values(),
    entries: () => all.entries(),
    get: key => all.get(key),
    set(key, subject, made) {
      const row = all.get(key) ?? rowFor(subject)
      // Most are allowed the same.
      lastAllowed = lastAllowed && isSameAllowed(lastAllowed, made.allowed) ? lastAllowed : made.allowed
      row.write(made, lastAllowed)
      all.set(key, row)
    },
    delete: key => void all.delete(key),
  }
}

class FollowedRow implements FollowedOne {
  readonly isStored = false
  readonly #quota: FollowedQuota
  readonly #subject: SubjectValues
  readonly #numbers: Float64Array
  readonly #at: number
  #allowed: Allowed = { steps: [], sinceMs: 0, elsewhere: 0, deniedUntilMs: null, forgiven: 0 }
  #crossing: Crossing | 'at the end' | null = null
  upstream: UpstreamReading | null = null
  confidence: Forecast['confidence'] = 'none'
  #why = ''

  constructor(quota: FollowedQuota, subject: SubjectValues, { numbers, at }: { numbers: Float64Array; at: number }) {
    this.#quota = quota
    this.#subject = subject
    this.#numbers = numbers
    this.#at = at
  }

  write({ forecast, dueAtMs }: FollowedForecast, allowed: Allowed): void {
    const { exhaustionAtMs, usageAtReset, headroom, probability, burnRate } = forecast
    const { used, windowStartMs, windowEndMs, asOfMs } = forecast
    const unknown = Number.NaN
    const all = [used, windowStartMs, windowEndMs, asOfMs, dueAtMs, probability ?? unknown, burnRate ?? unknown]
    for (const quantiles of [exhaustionAtMs, usageAtReset, headroom]) {
      all.push(quantiles?.p10 ?? unknown, quantiles?.p50 ?? unknown, quantiles?.p90 ?? unknown)
    }
    this.#numbers.set(all, this.#at)
    this.#allowed = allowed
    this.#crossing = forecast.crossing?.shares.length === 1 ? 'at the end' : forecast.crossing
    this.upstream = forecast.upstream
    this.confidence = forecast.confidence
    const why = shortened(forecast.why)
    // What is the same is no new text to hold.
    if (this.#why !== why) this.#why = why
  }

  get quota(): string {
    return this.#quota.name
  }
  get why(): string {
    return whole(this.#why)
  }
  get unit(): SubjectForecast['unit'] {
    return this.#quota.unit
  }
  get subject(): Record<string, string> {
    return subjectMap(this.#quota, this.#subject)
  }
  get tenant(): string | null {
    return ownerOf(this.#quota, this.#subject, 'tenant')
  }
  get consumer(): string | null {
    return ownerOf(this.#quota, this.#subject, 'consumer')
  }
  get allowed(): Allowed {
    return this.#allowed
  }
  get limit(): number | null {
    return this.#allowed.steps[0]?.limit ?? null
  }
  get limitChanges(): readonly LimitStep[] {
    return this.#allowed.steps.slice(1)
  }
  get used(): number {
    return this.#number(AT.used)
  }
  get windowStartMs(): number {
    return this.#number(AT.windowStartMs)
  }
  get windowEndMs(): number {
    return this.#number(AT.windowEndMs)
  }
  get asOfMs(): number {
    return this.#number(AT.asOfMs)
  }
  get dueAtMs(): number {
    return this.#number(AT.dueAtMs)
  }
  get probability(): number | null {
    return this.#known(AT.probability)
  }
  get burnRate(): number | null {
    return this.#known(AT.burnRate)
  }
  get exhaustionAtMs(): InstantQuantiles {
    return this.#quantiles(AT.exhaustionAtMs)
  }
  get usageAtReset(): Quantiles | null {
    return knownQuantiles(this.#quantiles(AT.usageAtReset))
  }
  get headroom(): Quantiles | null {
    return knownQuantiles(this.#quantiles(AT.headroom))
  }
  get crossing(): Crossing | null {
    if (this.#crossing !== 'at the end') return this.#crossing
    return { shares: [1], probabilities: [this.#number(AT.probability)] }
  }

  #number(column: number): number {
    return this.#numbers[this.#at + column] ?? 0
  }
  #known(column: number): number | null {
    const number = this.#number(column)
    return Number.isNaN(number) ? null : number
  }
  #quantiles(column: number): InstantQuantiles {
    return { p10: this.#known(column), p50: this.#known(column + 1), p90: this.#known(column + 2) }
  }
}

const knownQuantiles = ({ p10, p50, p90 }: InstantQuantiles): Quantiles | null =>
  p10 === null || p50 === null || p90 === null ? null : { p10, p50, p90 }
