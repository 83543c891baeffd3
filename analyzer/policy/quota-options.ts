/** Quotas as config and the API name them. */
import Type, { type Static } from 'typebox'
import { QUOTA_UNITS } from '../usage/units.ts'
import { WindowOptions } from '../usage/window-options.ts'

const PATTERNS_MAX = 1_000
/** Longest value of a dimension. */
export const VALUE_CHARACTERS_MAX = 512

const patterns = Type.Union(
  [
    Type.String({ minLength: 1, maxLength: VALUE_CHARACTERS_MAX }),
    Type.Array(Type.String({ minLength: 1, maxLength: VALUE_CHARACTERS_MAX }), {
      minItems: 1,
      maxItems: PATTERNS_MAX,
    }),
  ],
  { description: 'One value or a list of which one must match; a trailing `*` makes a prefix.' },
)
/** Channels of alerts. */
export const CHANNELS_MAX = 20
export const CHANNEL_NAME = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'

const shareOf = (description: string, options: { default?: number } = {}) =>
  Type.Number({ exclusiveMinimum: 0, maximum: 1, description, ...options })

const COUNTS = ['checks', 'records', 'checks_and_records'] as const
export type Counts = (typeof COUNTS)[number]

export const ENFORCEMENTS = ['deny', 'shadow', 'pace'] as const
export type Enforcement = (typeof ENFORCEMENTS)[number]

export const QuotaOptions = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$',
      description: 'Name of the quota, unique; gateways see it in `RateLimit-Policy`.',
    }),
    match: Type.Record(Type.String(), patterns, {
      default: {},
      description: 'Dimensions that a call must have; an absent dimension matches any call.',
    }),
    per: Type.Array(Type.String(), {
      default: [],
      maxItems: 10,
      uniqueItems: true,
      description: 'One bucket for each distinct combination of these dimensions; empty is one bucket for all.',
    }),
    unit: Type.Union(
      QUOTA_UNITS.map(unit => Type.Literal(unit)),
      { description: 'What is counted; `cost` in millionths of the currency. `concurrent_requests` has no window.' },
    ),
    limit: Type.Union([Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Literal('upstream')], {
      description:
        'Units that the quota allows per window; 0 denies. `upstream`: as many as the provider says in its answers, by ' +
        '`providerKey`; until it does, nothing is denied.',
    }),
    window: Type.Optional(WindowOptions),
    counts: Type.Union(
      COUNTS.map(counts => Type.Literal(counts)),
      {
        default: 'checks_and_records',
        description: "What spends the quota: the limiter's answers, call records, or both.",
      },
    ),
    enforcement: Type.Enum(ENFORCEMENTS, {
      default: 'deny',
      description:
        '`shadow` computes and shows, but never denies; `pace` also slows down a subject that is about to run out, so ' +
        'that what is left lasts until the reset.',
    }),
    pace: Type.Object(
      {
        probability: shareOf('Probability of exhaustion before the reset from which on a subject is slowed down.', {
          default: 0.8,
        }),
        floorShare: shareOf(
          'Least rate, as a share of the one that uses exactly the limit in a window: who takes less is not slowed down.',
          { default: 0.25 },
        ),
      },
      { additionalProperties: false, default: {}, description: 'How `enforcement: pace` slows down.' },
    ),
    onStoreFailure: Type.Union([Type.Literal('allow'), Type.Literal('deny')], {
      default: 'allow',
      description: 'What to answer while the limit store is away.',
    }),
    reservation: Type.Object(
      {
        ttlSeconds: Type.Integer({
          default: 120,
          minimum: 1,
          maximum: 86_400,
          description: 'How long an estimate is held for a call whose cost is not known yet.',
        }),
        onExpiry: Type.Literal('release', { default: 'release', description: 'What becomes of it then.' }),
      },
      { additionalProperties: false, default: {}, description: 'Estimates that are held.' },
    ),
    alerts: Type.Object(
      {
        used: Type.Array(shareOf('Share of the limit.'), {
          default: [],
          maxItems: 10,
          description: 'Shares of the limit whose use is worth an alert; all of it always is.',
        }),
        exhaustionProbability: shareOf(
          'Probability of exhaustion before the reset from which on it is worth an alert.',
          { default: 0.7 },
        ),
        channels: Type.Optional(
          Type.Array(Type.String({ pattern: CHANNEL_NAME }), {
            maxItems: CHANNELS_MAX,
            uniqueItems: true,
            description: 'Who is told, of `alerts.channels`; absent: all of them.',
          }),
        ),
      },
      {
        additionalProperties: false,
        default: {},
        description: 'When somebody should know; forecasts are kept at the instant a threshold is crossed.',
      },
    ),
  },
  { additionalProperties: false, description: 'A named promise of who may take how much in which window.' },
)
export type QuotaOptions = Static<typeof QuotaOptions>
