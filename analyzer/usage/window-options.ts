/** Windows as config and the API name them. */
import Type, { type Static } from 'typebox'

/** Longest fixed window, so that sums of window lengths stay exact: ten years. */
const FIXED_SECONDS_MAX = 3_650 * 86_400

const FixedWindowOptions = Type.Object(
  {
    kind: Type.Literal('fixed', { description: 'The same length, again and again.' }),
    everySeconds: Type.Integer({
      minimum: 1,
      maximum: FIXED_SECONDS_MAX,
      description: 'Length of the window; in files also `1m`, `5h`, `30d`.',
    }),
    anchor: Type.String({
      default: '1970-01-01T00:00:00Z',
      maxLength: 64,
      description: 'An instant at which one of the windows begins, ISO 8601 with a zone.',
    }),
  },
  { additionalProperties: false },
)

const CalendarWindowOptions = Type.Object(
  {
    kind: Type.Literal('calendar', { description: 'Days, weeks, months or years of a time zone.' }),
    every: Type.Union([Type.Literal('day'), Type.Literal('week'), Type.Literal('month'), Type.Literal('year')], {
      description: 'Period of the calendar.',
    }),
    timezone: Type.String({
      default: 'UTC',
      minLength: 1,
      maxLength: 64,
      description: 'IANA name of the time zone whose midnight begins a period.',
    }),
    startsOn: Type.Integer({
      default: 1,
      minimum: 1,
      maximum: 28,
      description:
        'First day: of the month (1 to 28), of the week (1 is Monday); of a year, its first month. 1 for days.',
    }),
  },
  { additionalProperties: false },
)

/** Longest sliding window and longest period of a rate: what calls are kept for. */
const SLIDING_SECONDS_MAX = 30 * 86_400
/** Slots of a sliding window: each costs a bucket, and the fewer there are, the longer use counts beyond its time. */
const SLOTS = { min: 4, max: 128, usual: 32 } as const

const SlidingWindowOptions = Type.Object(
  {
    kind: Type.Literal('sliding', { description: 'Any period of the length: the limit holds in each of them.' }),
    everySeconds: Type.Integer({
      minimum: 1,
      maximum: SLIDING_SECONDS_MAX,
      description: 'Length of the period; in files also `1m`, `5h`, `7d`.',
    }),
    slots: Type.Integer({
      default: SLOTS.usual,
      minimum: SLOTS.min,
      maximum: SLOTS.max,
      description:
        'Parts in which use is counted. What was used counts for the length and at most one part more: never over the ' +
        'limit, at most so much too strict.',
    }),
  },
  { additionalProperties: false },
)

const RateWindowOptions = Type.Object(
  {
    kind: Type.Literal('rate', { description: 'So much per period, evenly: what was used drains at that rate.' }),
    everySeconds: Type.Integer({
      minimum: 1,
      maximum: SLIDING_SECONDS_MAX,
      description: 'The period in which `limit` units drain; in files also `1s`, `1m`.',
    }),
    burst: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Most units that may be taken at once; the limit when absent.',
      }),
    ),
  },
  { additionalProperties: false },
)

export const WindowOptions = Type.Union(
  [FixedWindowOptions, CalendarWindowOptions, SlidingWindowOptions, RateWindowOptions],
  {
    description: 'The period that the limit covers; absent for `concurrent_requests`, which counts what is under way.',
  },
)
export type WindowOptions = Static<typeof WindowOptions>
