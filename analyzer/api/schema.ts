/** Parts that the schemas of requests and answers share. */
import Type, { type TProperties, type TSchema } from 'typebox'
import { DIMENSIONS } from '../policy/quota.ts'

/** Names of quotas are at most so long, values of dimensions bounded by as much as a URL can bear. */
const QUOTA_CHARACTERS_MAX = 64
const VALUE_CHARACTERS_MAX = 512
const INSTANT_CHARACTERS_MAX = 64

export const orNull = <T extends TSchema>(schema: T, description: string) =>
  Type.Union([schema, Type.Null()], { description })

export const quotaName = (description: string) => Type.String({ maxLength: QUOTA_CHARACTERS_MAX, description })
export const dimensionValue = (description: string) => Type.String({ maxLength: VALUE_CHARACTERS_MAX, description })

/** A subject by the names of its dimensions, in an answer. */
export const SubjectAnswer = Type.Record(Type.String(), Type.String(), {
  description: "The dimensions of the quota's `per`; unknown is an empty text.",
})

/** The query of one subject of a quota: its dimensions by name, and what else is asked. */
export const subjectQuery = (labelColumns: readonly string[], others: TProperties) =>
  Type.Object(
    {
      ...Object.fromEntries(
        [...DIMENSIONS, ...labelColumns].map(name => {
          const value = dimensionValue(
            `The subject's ${name}, where the quota is per ${name}; unknown is an empty text.`,
          )
          return [name, Type.Optional(value)]
        }),
      ),
      ...others,
    },
    { additionalProperties: false },
  )

/** An instant in a query; `what` is what it bounds. */
export const instantOrAgo = (what: string, usual: string) =>
  Type.String({
    default: usual,
    maxLength: INSTANT_CHARACTERS_MAX,
    description: `${what}: an instant (ISO 8601 with a zone, or Unix ms) or a while ago.`,
  })
