/**
 * What a call will probably cost, where its caller does not say: a quantile of what calls of the same consumer, model and
 * route really cost, learned from the stream of call records and from settled reservations. Where too few are known, those
 * of the same consumer and model tell, then of the tenant and model, then of the tenant. Each true cost is first compared with what would have been
 * estimated, so that the rate of overruns is measured and not promised.
 */
import type { Dimensions } from '../policy/quota.ts'
import { subjectKey } from '../policy/subject.ts'
import { type CostSketch, callsOf, createSketch, learnCost, learnCosts, quantileOf, shareUpTo } from './cost-sketch.ts'
import { createKeeper, type Kept } from './keeper.ts'
import type { Cost } from './limiter.ts'

/** Units that are not known before a call. */
export const ESTIMATED_UNITS = ['input_tokens', 'output_tokens', 'total_tokens', 'cost', 'bytes'] as const
export type EstimatedUnit = (typeof ESTIMATED_UNITS)[number]

/**
 * The share of calls that an estimate covers unless config says otherwise. With many calls at a time what some take more
 * others take less; a higher one denies many calls that would have fitted (`npm run bench -- estimates`).
 */
export const ESTIMATE_QUANTILE = 0.5
/** Fewer calls say too little. */
const CALLS_MIN = 20
/** Kinds of calls that are kept apart, and as many wider ones: some 20 MB. */
const KINDS_MAX = 10_000

/** Who calls what. */
export type Kind = Pick<Dimensions, 'tenant' | 'consumer' | 'model' | 'route'>

interface EstimateCounts {
  /** Calls of which the true cost came to be known and would have been estimated. */
  calls: number
  /** Of these, those that cost more than was estimated; of a call some of whose units did, that share. */
  overran: number
  /** Reservations that were denied on an estimate. */
  denials: number
  /** Of these, how many would probably have fitted: by what calls of their kind cost, and the room that there was. */
  needless: number
}

/** What is known of the call already. */
interface StatedCost {
  readonly cost: Cost
  /** Most tokens that it may generate; null where nobody limits them. */
  readonly maxTokens: number | null
}

export interface Estimates {
  /** The share of calls that an estimate should cover. */
  readonly quantile: number
  /**
   * The units that the caller did not state and that are known of such calls. What may be generated is never estimated
   * above `maxTokens`, and all tokens never above what goes in and that; where nothing is known it is `maxTokens` itself.
   */
  estimate(kind: Kind, stated: StatedCost): Cost
  /** The share of such calls that take at most `room` of the unit, given what is stated; null where too few are known. */
  shareUpTo(kind: Kind, stated: Cost, unit: EstimatedUnit, room: number): number | null
  /** True costs of one call, as far as they are known. */
  learn(kind: Kind, cost: Cost): void
  /** True costs of earlier calls of a kind. */
  learnMany(kind: Kind, unit: EstimatedUnit, amount: number, calls: number): void
  /** A reservation was denied on an estimate; it would have fitted with this probability. */
  denied(probability: number): void
  /** Since the start. */
  counts(): EstimateCounts
  kinds(): number
}

/** Of each unit that was ever known. */
type Sketches = Record<EstimatedUnit, CostSketch | null> & Kept
/** The sketches that a call of a kind teaches: its own, then those of the wider kinds. */
type Family = { readonly all: readonly Sketches[] } & Kept

const createSketches = (): Sketches => ({
  input_tokens: null,
  output_tokens: null,
  total_tokens: null,
  cost: null,
  bytes: null,
  isSeen: true,
})

function sketchOf(sketches: Sketches, unit: EstimatedUnit): CostSketch {
  sketches[unit] ??= createSketch()
  return sketches[unit]
}

export function createEstimates({ quantile }: { quantile: number }): Estimates {
  /** By the most specific kind. */
  const families = createKeeper<Family>(KINDS_MAX)
  const wider = createKeeper<Sketches>(KINDS_MAX)
  const counts: EstimateCounts = { calls: 0, overran: 0, denials: 0, needless: 0 }

  /** From the most specific kind that is known on. */
  const known = (kind: Kind): readonly Sketches[] =>
    families.find(keyOf(kind))?.all ?? widerKeys(kind).flatMap(key => wider.find(key) ?? [])
  const obtained = (kind: Kind): readonly Sketches[] => {
    const key = keyOf(kind)
    const all = families.find(key)?.all ?? newFamily(key, kind)
    // Those of a wider kind stay as long as any of its kinds.
    for (const sketches of all) sketches.isSeen = true
    return all
  }
  const newFamily = (key: string, kind: Kind): readonly Sketches[] => {
    const all = widerKeys(kind).flatMap(wide => wider.find(wide) ?? wider.add(wide, createSketches()) ?? [])
    return families.add(key, { all: [createSketches(), ...all], isSeen: true })?.all ?? all
  }
  const learned = (all: readonly Sketches[], unit: EstimatedUnit): number | null => {
    const sketch = tellingOf(all, unit)
    return sketch === undefined ? null : quantileOf(sketch, quantile)
  }

  return {
    quantile,
    estimate(kind, stated) {
      const all = known(kind)
      return completed(stated, unit => learned(all, unit))
    },
    shareUpTo(kind, stated, unit, room) {
      const left = unknownPart(stated, unit)
      const sketch = tellingOf(known(kind), left.unit)
      return sketch === undefined ? null : shareUpTo(sketch, room - left.known)
    },
    learn(kind, cost) {
      const all = obtained(kind)
      let [units, overran] = [0, 0]
      for (const unit of ESTIMATED_UNITS) {
        const amount = cost[unit]
        if (amount === undefined) continue
        const estimated = learned(all, unit)
        if (estimated !== null) {
          units += 1
          if (amount > estimated) overran += 1
        }
        for (const sketches of all) learnCost(sketchOf(sketches, unit), amount)
      }
      if (units === 0) return
      counts.calls += 1
      counts.overran += overran / units
    },
    learnMany(kind, unit, amount, calls) {
      for (const sketches of obtained(kind)) learnCosts(sketchOf(sketches, unit), amount, calls)
    },
    denied(probability) {
      counts.denials += 1
      counts.needless += probability
    },
    counts: () => ({ ...counts }),
    kinds: families.size,
  }
}

const keyOf = ({ tenant, consumer, model, route }: Kind): string =>
  subjectKey([tenant ?? '', consumer ?? '', model ?? '', route ?? ''])

/** The wider kinds that a call belongs to, the narrowest first. Each has another number of parts before the last. */
const widerKeys = ({ tenant, consumer, model }: Kind): string[] => [
  subjectKey([tenant ?? '', model ?? '', consumer ?? '', '']),
  subjectKey([tenant ?? '', model ?? '', '']),
  subjectKey([tenant ?? '', '']),
]

/** The first that stands on enough calls. */
function tellingOf(all: readonly Sketches[], unit: EstimatedUnit): CostSketch | undefined {
  for (const { [unit]: sketch } of all) if (sketch !== null && callsOf(sketch) >= CALLS_MIN) return sketch
  return undefined
}

/** Of all tokens, what is left to estimate where a part is stated. */
function unknownPart(stated: Cost, unit: EstimatedUnit): { unit: EstimatedUnit; known: number } {
  const { input_tokens: input, output_tokens: output } = stated
  if (unit === 'total_tokens' && input !== undefined) return { unit: 'output_tokens', known: input }
  if (unit === 'total_tokens' && output !== undefined) return { unit: 'input_tokens', known: output }
  return { unit, known: 0 }
}

/** The estimates of what is not stated. A total is the sum of its parts where one of them is stated. */
function completed({ cost, maxTokens }: StatedCost, learned: (unit: EstimatedUnit) => number | null): Cost {
  const estimated: Cost = {}
  for (const unit of ESTIMATED_UNITS) {
    const amount = cost[unit] === undefined ? learned(unit) : null
    if (amount !== null) estimated[unit] = amount
  }
  if (cost.output_tokens === undefined && maxTokens !== null) {
    estimated.output_tokens = Math.min(estimated.output_tokens ?? maxTokens, maxTokens)
  }
  const total = cost.total_tokens === undefined ? totalOf(cost, estimated, maxTokens) : undefined
  if (total !== undefined) estimated.total_tokens = total
  return estimated
}

function totalOf(cost: Cost, estimated: Cost, maxTokens: number | null): number | undefined {
  const input = cost.input_tokens ?? estimated.input_tokens
  const output = cost.output_tokens ?? estimated.output_tokens
  const { total_tokens: total } = estimated
  const isPartStated = cost.input_tokens !== undefined || cost.output_tokens !== undefined
  if (input !== undefined && output !== undefined && (isPartStated || total === undefined)) return input + output
  if (input !== undefined && maxTokens !== null && total !== undefined) return Math.min(total, input + maxTokens)
  if (input === undefined && output === undefined) return total
  return Math.max(total ?? 0, input ?? 0, output ?? 0)
}
