/** What the limiter says of its decisions: the content of the log's topic `decisions`, one entry a sum. */
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseKnown, UUID } from '../call-record.ts'

const count = (description: string) => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })
const amount = (description: string) => Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })
const who = (description: string) => Type.Union([Type.String(), Type.Null()], { description })

/** Sums of one minute, quota and bucket, since the entry before it: several entries of one minute add up. */
export const DecisionSums = Type.Object(
  {
    sumId: Type.String({
      pattern: UUID,
      description: 'Same sums, same id: an append that is tried again is counted once.',
    }),
    minuteMs: Type.Integer({ minimum: 0, maximum: 4_102_444_800_000, description: 'Start of the minute.' }),
    quota: Type.String({ minLength: 1 }),
    subject: Type.Record(Type.String(), Type.String(), {
      description: "The bucket: values of the quota's `per`, in that order.",
    }),
    tenant: who('Tenant of the calls, or null when the bucket spans several.'),
    consumer: who('Consumer of the calls, or null when the bucket spans several.'),
    unit: Type.String({ minLength: 1 }),
    allowed: count('Decisions that let a call pass; what a call spends since then is no further one.'),
    denied: count('Decisions that did not.'),
    spent: amount('Units that the allowed ones took.'),
    deniedCost: amount('Units that the denied ones asked for.'),
  },
  { additionalProperties: false, $id: 'DecisionSums' },
)
export type DecisionSums = Static<typeof DecisionSums>

const decisionSums = Compile(DecisionSums)
const isDecisionSums = (value: unknown): value is DecisionSums => decisionSums.Check(value)

/** Sums of the log, or `null` for what is none. */
export const parseDecisionSums = (text: string): DecisionSums | null => parseKnown(text, DecisionSums, isDecisionSums)
