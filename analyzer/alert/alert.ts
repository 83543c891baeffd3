/** An alert as the control log keeps it: what is wrong since when, and which channels have not been told yet. */
import Type, { type Static, type TSchema, type TSchemaOptions } from 'typebox'
import { INSTANT_MS_MAX, Subject } from '../policy/adjustment.ts'
import { VALUE_CHARACTERS_MAX } from '../policy/quota-options.ts'
import { createValueReader } from '../policy/value-reader.ts'

export const RULES = ['used', 'exhaustion'] as const
export type Rule = (typeof RULES)[number]

const orNull = <T extends TSchema>(type: T, options: TSchemaOptions = {}) => Type.Union([type, Type.Null()], options)
const owner = orNull(Type.String({ maxLength: VALUE_CHARACTERS_MAX }), {
  description: 'Whose it is, where the quota says so.',
})
const instant = (description: string) => Type.Integer({ minimum: 0, maximum: INSTANT_MS_MAX, description })
const quantile = orNull(Type.Number())

/** What was known when the alert began, or was raised last. */
const FACTS = {
  unit: Type.String({ description: 'Of `used` and `limit`; `cost` in millionths of the currency.' }),
  used: Type.Number({ description: 'Units used in the window.' }),
  limit: orNull(Type.Number(), { description: "The subject's limit; null while the provider has not said it." }),
  probability: orNull(Type.Number(), {
    description: 'That the quota runs out before its reset; null when that cannot be said.',
  }),
  exhaustionAtMs: Type.Object(
    { p10: quantile, p50: quantile, p90: quantile },
    { description: 'When the limit is reached; null is not before the reset. Unix milliseconds.' },
  ),
  windowEndMs: Type.Number({ description: 'When all that is used now counts no more. Unix milliseconds.' }),
  confidence: Type.String({ description: 'How far to trust the forecast.' }),
  why: Type.String({ description: 'In words, what the forecast rests on.' }),
  asOfMs: Type.Number({ description: 'When it was forecast. Unix milliseconds.' }),
}

export const Alert = Type.Object(
  {
    rule: Type.Enum(RULES, {
      description:
        '`used`: a share of the limit is used up. `exhaustion`: the quota will probably run out before its reset.',
    }),
    quota: Type.String({ description: 'Name of the quota.' }),
    subject: Subject,
    tenant: owner,
    consumer: owner,
    level: Type.Number({ description: 'The share of the limit, or the probability, from which on it is told.' }),
    sinceMs: instant('Begin. Unix milliseconds.'),
    endedAtMs: orNull(instant('End.'), {
      description: 'End, while channels have not been told of it; null before. Unix milliseconds.',
    }),
    isDropped: Type.Optional(
      Type.Boolean({
        description: 'It has ended because the quota is gone, or nobody is to be told of its alerts any more.',
      }),
    ),
    ...FACTS,
    told: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Channels that have accepted this state, in the order in which they did.',
      }),
    ),
    toldBefore: Type.Optional(
      Type.Array(Type.String(), { description: 'Channels that have accepted an earlier state, since it began.' }),
    ),
    untold: Type.Array(Type.String(), { description: 'Channels that do not know of this state yet.' }),
  },
  { additionalProperties: false },
)
export type Alert = Static<typeof Alert>

export const readAlert = createValueReader(Alert)
