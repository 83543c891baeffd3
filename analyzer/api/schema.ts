/** Parts that the schemas of requests and answers share. */
import Type, { type TSchema } from 'typebox'

/** Names of quotas are at most so long, values of dimensions bounded by as much as a URL can bear. */
const QUOTA_CHARACTERS_MAX = 64
const VALUE_CHARACTERS_MAX = 512

export const orNull = <T extends TSchema>(schema: T, description: string) =>
  Type.Union([schema, Type.Null()], { description })

export const quotaName = (description: string) => Type.String({ maxLength: QUOTA_CHARACTERS_MAX, description })
export const dimensionValue = (description: string) => Type.String({ maxLength: VALUE_CHARACTERS_MAX, description })

/** A subject by the names of its dimensions, in an answer. */
export const SubjectAnswer = Type.Record(Type.String(), Type.String(), {
  description: "The dimensions of the quota's `per`; unknown is an empty text.",
})
