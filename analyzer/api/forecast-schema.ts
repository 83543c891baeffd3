/** A forecast as the API answers it. */
import Type, { type Static, type TSchema } from 'typebox'
import { CONFIDENCES } from '../forecast/forecaster.ts'
import { createBlocks, type FindBlock } from '../limit/blocks.ts'
import { Block } from '../policy/adjustment.ts'
import { paceQuotaOf } from '../policy/pace.ts'
import type { Policy } from '../policy/policy.ts'
import { ENFORCEMENTS } from '../policy/quota-options.ts'
import { keyOf } from '../policy/subject.ts'
import { plainForecast, type SubjectForecast } from '../tick/subject-forecast.ts'
import type { Snapshot } from '../tick/ticker.ts'
import { UNITS } from '../usage/units.ts'
import { bindingOf } from './binding.ts'
import { orNull, SubjectAnswer } from './schema.ts'

const instant = (description: string) => Type.Integer({ description: `${description}, Unix milliseconds.` })
const quantiles = <T extends TSchema>(value: T) => Type.Object({ p10: value, p50: value, p90: value })

export const ForecastAnswer = Type.Object({
  quota: Type.String({ description: 'Name of the quota.' }),
  subject: SubjectAnswer,
  unit: Type.Enum(UNITS, { description: 'What the quota counts.' }),
  enforcement: orNull(
    Type.Enum(ENFORCEMENTS),
    'What the quota does: `shadow` counts and forecasts, and denies nothing. Null when the quota is gone.',
  ),
  limit: orNull(
    Type.Number(),
    'Units that the subject may use per window now: its own limit and grants included. Null while the provider has not said it.',
  ),
  limitChanges: Type.Array(Type.Object({ fromMs: instant('Begin'), limit: Type.Number() }), {
    description: 'Limits that will hold later until `windowEndMs`, as far as grants that begin or end tell.',
  }),
  upstream: orNull(
    Type.Object({
      limit: orNull(
        Type.Number(),
        'Units that it allows per window of its own; of several policies of the unit, by that with the least left.',
      ),
      remaining: orNull(Type.Number(), 'Units that were left.'),
      resetAtMs: orNull(Type.Number(), 'When it refills, Unix milliseconds.'),
      deniedUntilMs: orNull(Type.Number(), 'When it said to come again as it last refused a call, Unix milliseconds.'),
      asOfMs: Type.Number({
        description: 'End of the call whose answer said it, Unix milliseconds; 0 for a refusal alone.',
      }),
    }),
    'What the provider said last of the subject, where the limit is `upstream`; null while it said nothing.',
  ),
  pace: orNull(
    Type.Object({ amount: Type.Number(), periodMs: Type.Integer(), untilMs: instant('End') }),
    'The rate that the subject is slowed down to so that what is left lasts, units a period; null while it is not.',
  ),
  blocked: orNull(Block, 'The block under which the tenant or consumer may not pass at all, whatever is left.'),
  used: Type.Number({
    description:
      'Units used since the window began, without what a reset by hand forgave. Of a rate: what has not drained yet, or ' +
      'what a period takes on average where it is under five minutes.',
  }),
  windowStartMs: instant('Begin of the window; of a sliding one, what was used before counts no more'),
  windowEndMs: instant('The reset; without one, a length of the window from now, as far as is forecast'),
  asOfMs: instant('When this was forecast'),
  isStored: Type.Boolean({
    description:
      'Another analyzer follows the subject: this is what it stored last, at most a twelfth of the window ago.',
  }),
  dataAgeMs: orNull(Type.Number(), 'Age of the newest call in the store, milliseconds; null while there is none.'),
  probability: orNull(
    Type.Number({ minimum: 0, maximum: 1 }),
    'That the limit is reached before `windowEndMs`; null when that cannot be said.',
  ),
  exhaustionAtMs: Type.Object(
    {
      p10: orNull(Type.Integer(), 'Unix milliseconds.'),
      p50: orNull(Type.Integer(), 'Unix milliseconds.'),
      p90: orNull(Type.Integer(), 'Unix milliseconds.'),
    },
    { description: 'When the limit is reached; null is "not before `windowEndMs`".' },
  ),
  usageAtReset: orNull(quantiles(Type.Number()), 'Units used and asked for at the reset; null when unknown.'),
  headroom: orNull(
    quantiles(Type.Number()),
    'The limit at `windowEndMs` (of a rate, its burst) less `usageAtReset`; may be negative.',
  ),
  burnRate: orNull(Type.Number(), 'Recent demand over the rate that uses exactly the limit in a window.'),
  bindsFirst: Type.Array(Type.Object({ quota: Type.String(), probability: Type.Number() }), {
    description:
      'Of all quotas that calls of the subject spend from, the chance that each is the first to run out before its reset, ' +
      'the most probable first. Empty where only one covers it, or none will run out.',
  }),
  confidence: Type.Enum(CONFIDENCES, {
    description: '`none`: nothing can be said; `low`: too little history to trust.',
  }),
  why: Type.String({ description: 'What the forecast rests on, in words.' }),
})
export type ForecastAnswer = Static<typeof ForecastAnswer>

/** What of a forecast answer is looked up when it is asked for. */
export interface Answering {
  snapshot: Snapshot
  policy: Policy
  nowMs: number
  /** The only tenant that the caller may see; null for all. */
  own: string | null
}

/** The forecast without what is only ours, with the age of the data it could see and with what refuses its calls anyway. */
export function toForecastAnswer(forecast: SubjectForecast, answering: Answering): ForecastAnswer {
  const { snapshot, policy, nowMs } = answering
  const { tenant, consumer, crossing: _crossing, limitChanges, ...answer } = plainForecast(forecast)
  return {
    ...answer,
    enforcement: policy.byName.get(forecast.quota)?.enforcement ?? null,
    limitChanges: [...limitChanges],
    dataAgeMs: dataAgeMs(snapshot, nowMs),
    bindsFirst: bindingOf(forecast, answering),
    pace: paceOf(forecast, answering),
    blocked: blocksOf(policy)({ tenant, consumer, clientIp: null, nowMs }),
  }
}

function paceOf({ quota: name, subject }: SubjectForecast, { policy, nowMs }: Answering): ForecastAnswer['pace'] {
  const quota = policy.byName.get(name)
  const paced = quota && paceQuotaOf(quota)
  if (paced?.window.kind !== 'rate') return null
  const key = keyOf(paced, subject)
  const pace = key === null ? null : policy.adjusted(paced, key, nowMs).pace
  if (pace === null) return null
  return { amount: pace.amount, periodMs: paced.window.periodMs, untilMs: pace.untilMs }
}

/** By the list, which is another after each change of a block. */
const finders = new WeakMap<readonly Block[], FindBlock>()

function blocksOf({ blocks }: Policy): FindBlock {
  const find = finders.get(blocks) ?? createBlocks(blocks)
  finders.set(blocks, find)
  return find
}

/** Age of the newest call in the store, or `null` while there is none. */
export const dataAgeMs = ({ newestCallAtMs }: Snapshot, nowMs: number): number | null =>
  newestCallAtMs === null ? null : Math.max(0, nowMs - newestCallAtMs)
