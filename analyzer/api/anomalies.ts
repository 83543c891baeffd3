/** `GET /v1/anomalies`: what the past of a quota's subjects does not explain. */
import Type, { type Static } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import { UNSEEN_SCORE, type UnusualUse, unseenScore, unusualUse } from '../forecast/anomalies.ts'
import { subjectMap } from '../policy/subject.ts'
import type { ResettingQuota } from '../tick/followed-quota.ts'
import { readSubjectHours, type SubjectHours } from '../tick/subject-hours.ts'
import { readSilentHours } from '../usage/silence.ts'
import { amountWords, type Unit } from '../usage/units.ts'
import { readUnseen, type Trait, type Unseen } from '../usage/unseen.ts'
import { quotaAsked, RequestError } from './request-error.ts'
import { orNull, SubjectAnswer } from './schema.ts'
import { type QuotaQueryDeps, SubjectsQuery, visibleQuota } from './subject-asked.ts'
import { parseInstant } from './times.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Further back too little lies before what is looked at. */
const LOOK_BACK_MS_MAX = 7 * DAY_MS
/** What is known of a subject: models by the hour of three weeks, networks call by call of one. */
const KNOWN_MS: Record<Trait, number> = { model: 21 * DAY_MS, network: 7 * DAY_MS }

const KINDS = ['too_much', 'too_little', 'new_model', 'new_network'] as const

const Query = Type.Object(
  {
    ...SubjectsQuery.properties,
    from: Type.Optional(
      Type.String({
        default: '-1d',
        maxLength: 64,
        description: 'What happened since: an instant (ISO 8601 with a zone, or Unix ms) or a while ago, up to `-7d`.',
      }),
    ),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
type Query = SubjectsQuery & { from: string }

const Anomaly = Type.Object({
  subject: SubjectAnswer,
  kind: Type.Enum(KINDS, {
    description:
      '`too_much` and `too_little` use in some hours (not too little where nothing was recorded of anybody); the first ' +
      'calls for a model, or from a network of clients.',
  }),
  fromMs: Type.Integer({ description: 'Unix milliseconds.' }),
  toMs: Type.Integer({ description: 'Unix milliseconds.' }),
  score: Type.Number({
    description: 'How unusual, in standard deviations; what is below 4 (2.6 for new ones) is not told.',
  }),
  used: orNull(Type.Number(), 'Units asked for in these hours; null for what is new.'),
  expected: orNull(
    Type.Object({ low: Type.Number(), high: Type.Number() }),
    'What would not have been unusual, units; null for what is new.',
  ),
  value: orNull(Type.String(), 'The new model or network.'),
  why: Type.String({ description: 'In words.' }),
})
type Anomaly = Static<typeof Anomaly>

const Answer = Type.Object({
  quota: Type.String(),
  fromMs: Type.Integer({ description: 'Unix milliseconds.' }),
  asOfMs: Type.Integer({
    description: 'Unix milliseconds. Use is judged by whole hours that ended ten minutes ago or earlier.',
  }),
  anomalies: Type.Array(Anomaly, { description: 'The most unusual first.' }),
  subjectsInAll: Type.Integer({
    description: 'Subjects with calls in the last four weeks; `limit` of them are judged.',
  }),
})
export type AnomaliesAnswer = Static<typeof Answer>

export function createAnomalyRoutes(deps: QuotaQueryDeps): Routes {
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/anomalies',
      {
        schema: {
          summary: 'Unusual activity',
          description:
            'For the most used subjects of a quota: hours with much more or less use than their past explains, models ' +
            'and networks of clients that they never used before. With a score and what was expected.',
          tags: ['trends'],
          querystring: Query,
          response: { 200: Answer },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.query, deps.principalOf(request).tenant),
    )
  }
}

async function answer(deps: QuotaQueryDeps, query: Query, own: string | null): Promise<Static<typeof Answer>> {
  const nowMs = deps.now()
  const fromMs = Math.floor(parseInstant('from', query.from, nowMs) / HOUR_MS) * HOUR_MS
  if (fromMs < nowMs - LOOK_BACK_MS_MAX - HOUR_MS || fromMs > nowMs) {
    throw new RequestError(400, 'PARAMETER_INVALID', 'from: expected an instant of the last seven days')
  }
  const asked = quotaAsked(deps.quotas(), { name: query.quota, own, which: 'resetting' })
  const quota = visibleQuota(asked, query, own)
  const name = { quota: query.quota, fromMs, asOfMs: nowMs }
  if (!quota) return { ...name, anomalies: [], subjectsInAll: 0 }
  const { client } = deps
  const { subjects, subjectsInAll, top } = await readSubjectHours(client, quota, { nowMs, subjectsMax: query.limit })
  const known = { fromMs: fromMs - HOUR_MS, toMs: Math.ceil(nowMs / HOUR_MS) * HOUR_MS }
  const silent = await readSilentHours(client, quota.counts, known)
  const anomalies = subjects.flatMap(one => unusualHours(one, quota, fromMs, silent))
  for (const trait of traitsOf(quota)) {
    const ask = { trait, knownFromMs: fromMs - KNOWN_MS[trait], fromMs, toMs: nowMs }
    for (const one of await readUnseen(client, top, ask)) anomalies.push(...newValues(one, quota, ask))
  }
  return { ...name, anomalies: anomalies.sort((a, b) => b.score - a.score), subjectsInAll }
}

/** A quota per model has a new subject, and not a known one with a new model. */
const traitsOf = ({ per }: ResettingQuota): Trait[] =>
  per.some(({ field }) => field === 'model') ? ['network'] : ['model', 'network']

/** Whole units, and money in the currency. */
const inWords = (amount: number, unit: Unit): string =>
  unit === 'cost' ? amountWords(Math.round(amount), unit) : String(Math.round(amount))

function unusualHours(
  { subject, history }: SubjectHours,
  { unit }: ResettingQuota,
  sinceMs: number,
  silent: ReadonlySet<number>,
): Anomaly[] {
  return unusualUse(history, sinceMs, silent).map(({ fromMs, toMs, used, expected, score }: UnusualUse) => {
    return {
      subject,
      kind: score > 0 ? 'too_much' : 'too_little',
      fromMs,
      toMs,
      score: Math.abs(score),
      used,
      expected,
      value: null,
      why: `${inWords(used, unit)} ${unit} in ${(toMs - fromMs) / HOUR_MS} h, where ${inWords(expected.low, unit)} to ${inWords(expected.high, unit)} would have been usual.`,
    }
  })
}

function newValues(
  unseen: Unseen,
  quota: ResettingQuota,
  { trait, fromMs, toMs }: { trait: Trait; fromMs: number; toMs: number },
): Anomaly[] {
  const { subject, callsBefore, valuesBefore, values, valuesInAll } = unseen
  const score = unseenScore(callsBefore, valuesBefore)
  if (score < UNSEEN_SCORE) return []
  const days = KNOWN_MS[trait] / DAY_MS
  const known = `${callsBefore} calls of the ${days} days before showed ${valuesBefore} other${valuesBefore === 1 ? '' : 's'}`
  const more = valuesInAll > values.length ? `; ${valuesInAll} new ones in all` : ''
  return values.map(({ value, calls }) => ({
    subject: subjectMap(quota, subject),
    kind: trait === 'model' ? 'new_model' : 'new_network',
    fromMs,
    toMs,
    score,
    used: null,
    expected: null,
    value,
    why: `${calls} call${calls === 1 ? '' : 's'} with a ${trait} that is new; ${known}${more}.`,
  }))
}
