/** Where the limiter counts, as config says it. */
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { RedisLimitsOptions } from './redis-options.ts'

/** Most that a killed limiter may forget, milliseconds. */
const FLUSH_MS_MAX = 50

export const EmbeddedLimitsOptions = Type.Object(
  {
    kind: Type.Literal('embedded', {
      description: "Memory, written behind to LMDB under the data folder's `limits`.",
    }),
    flushMs: Type.Integer({
      default: 25,
      minimum: 1,
      maximum: FLUSH_MS_MAX,
      description: 'How often counters are written; a killed limiter forgets at most so much spending.',
    }),
    bucketsMax: Type.Integer({
      default: 2_000_000,
      minimum: 1_000,
      description:
        'Subjects in open windows; beyond, quotas answer to others as `onStoreFailure` says, and pass over their records.',
    }),
    requestsMax: Type.Integer({
      default: 200_000,
      minimum: 0,
      description: 'Checks with a request id that wait for their call record; the oldest make room.',
    }),
  },
  { additionalProperties: false },
)
export type EmbeddedLimitsOptions = Static<typeof EmbeddedLimitsOptions>

export const LimitsOptions = Type.Union([EmbeddedLimitsOptions, RedisLimitsOptions])
export type LimitsOptions = Static<typeof LimitsOptions>

/** What opening a limit store takes besides its options. */
export interface LimitStoreDeps {
  /** The limit store's own folder. */
  dir: string
  log: Logger
  /** Within which a decision is given, milliseconds; absent for `DEADLINE_MS` of shared-limit-store.ts. Counters in this process need none. */
  deadlineMs?: number
  now?: () => number
}
