/** `GET /v1/trends`: where the use of a quota is going in the long run, and when it will be too small. */
import Type, { type Static } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import type { History } from '../forecast/history.ts'
import { dailyTotals, outgrownBy, seasonProfile, WEEK_HOURS, weeklyGrowth } from '../forecast/trends.ts'
import type { Policy } from '../policy/policy.ts'
import { subjectKey, subjectNamed } from '../policy/subject.ts'
import type { ResettingQuota } from '../tick/followed-quota.ts'
import { HISTORY_HOURS, hoursKnownUntil, readSubjectHours, type SubjectHours } from '../tick/subject-hours.ts'
import { readSilentHours } from '../usage/silence.ts'
import { UNITS } from '../usage/units.ts'
import { windowAt } from '../usage/window.ts'
import { quotaAsked } from './request-error.ts'
import { orNull, SubjectAnswer } from './schema.ts'
import { type QuotaQueryDeps, SubjectsQuery, visibleQuota } from './subject-asked.ts'
import { ChangeAnswer, factorChangesOf, GrowthAnswer } from './trend-schema.ts'

const HOUR_MS = 3_600_000
const DAY_HOURS = 24
const DAY_MS = DAY_HOURS * HOUR_MS
/** What is taken for growth that is not known yet. */
const NO_GROWTH = { factor: 1, low: 1, high: 1 }

export interface TrendsDeps extends QuotaQueryDeps {
  policy: () => Policy
}

const Outgrown = Type.Object({
  usage: Type.Number({ description: 'Units that such a window takes now.' }),
  atMs: orNull(
    Type.Integer(),
    'When that reaches the limit, Unix milliseconds; null is not within two years, or not known, as `growth` is.',
  ),
  earliestMs: orNull(Type.Integer(), 'The same by the most growth that is likely, the `high` of `growth`.'),
  latestMs: orNull(Type.Integer(), 'The same by the least growth that is likely, the `low` of `growth`.'),
})

const Answer = Type.Object({
  quota: Type.String(),
  unit: Type.Enum(UNITS),
  limit: orNull(Type.Number(), 'Units that the quota allows per window; null where the provider says it, by key.'),
  asOfMs: Type.Integer({ description: 'Trends are of the four weeks of whole hours before, Unix milliseconds.' }),
  subjects: Type.Array(
    Type.Object({
      subject: SubjectAnswer,
      limit: orNull(
        Type.Number(),
        'Its own limit per window, without grants that end; null where the provider has not said it.',
      ),
      days: Type.Array(Type.Number(), {
        description:
          'Units asked for in each whole day up to `asOfMs`, oldest first, from the first whole one that was used.',
      }),
      growth: orNull(GrowthAnswer, 'Since its level last changed; null with less than two weeks of use since.'),
      changes: Type.Array(ChangeAnswer, {
        description: 'Days on which the level changed for good, units a day; none with less than two weeks of use.',
      }),
      season: orNull(
        Type.Array(Type.Number(), { minItems: WEEK_HOURS, maxItems: WEEK_HOURS }),
        'Use by the hour of the week, UTC, from Monday on, as multiples of the mean hour; null with less than a week.',
      ),
      outgrown: orNull(
        Type.Object({ typical: Outgrown, busy: Outgrown }),
        'The typical window, and the busiest in ten, at the present level, if growth goes on as it is; null while less than one, or a week, is known of that level, or where there is no limit.',
      ),
    }),
    { description: 'Those that asked for most first, allowed or not.' },
  ),
  subjectsInAll: Type.Integer({ description: 'Subjects with calls or checks in this time.' }),
})
export type TrendsAnswer = Static<typeof Answer>

export function createTrendRoutes(deps: TrendsDeps): Routes {
  return server => {
    server.get<{ Querystring: SubjectsQuery }>(
      '/v1/trends',
      {
        schema: {
          summary: 'Trends of use',
          description:
            'For the most used subjects of a quota: growth by the week, days on which the level changed, the shape of ' +
            'the week, and the date at which the quota will be too small.',
          tags: ['trends'],
          querystring: SubjectsQuery,
          response: { 200: Answer },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.query, deps.principalOf(request).tenant),
    )
  }
}

async function answer(deps: TrendsDeps, query: SubjectsQuery, own: string | null): Promise<Static<typeof Answer>> {
  const nowMs = deps.now()
  const quota = quotaAsked(deps.quotas(), { name: query.quota, own, which: 'resetting' })
  const visible = visibleQuota(quota, query, own)
  const ask = { nowMs, subjectsMax: query.limit }
  const { subjects, subjectsInAll } = visible
    ? await readSubjectHours(deps.client, visible, ask)
    : { subjects: [], subjectsInAll: 0 }
  const window = windowAt(quota.window, nowMs)
  const asOfMs = hoursKnownUntil(nowMs)
  const silent = await readSilentHours(deps.client, quota.counts, {
    fromMs: asOfMs - HISTORY_HOURS * HOUR_MS,
    toMs: asOfMs,
  })
  return {
    quota: quota.name,
    unit: quota.unit,
    limit: quota.limit,
    asOfMs,
    subjects: subjects.map(one => {
      const limit = lastingLimit(deps.policy(), quota, one, nowMs)
      return { ...trendOf(one, { windowMs: window.endMs - window.startMs, limit, silent }), limit }
    }),
    subjectsInAll,
  }
}

/** Without what is granted for a time. */
function lastingLimit(policy: Policy, quota: ResettingQuota, { subject }: SubjectHours, nowMs: number): number | null {
  const key = subjectKey(subjectNamed(quota, subject))
  const { override, learned } = policy.adjusted(quota, key, nowMs)
  return override ?? quota.limit ?? learned?.limit ?? null
}

function trendOf(
  { subject, history }: SubjectHours,
  { windowMs, limit, silent }: { windowMs: number; limit: number | null; silent: ReadonlySet<number> },
) {
  const days = dailyTotals(history)
  const knownFromMs = history.endMs - days.length * DAY_MS
  const told = days.map((units, day) => (isSilentDay(silent, knownFromMs + day * DAY_MS) ? null : units))
  const changes = factorChangesOf(told, knownFromMs)
  // What was before its level changed says nothing of what it takes now, and the change itself is no growth.
  const levelFromMs = changes.at(-1)?.atMs ?? knownFromMs
  const growth = weeklyGrowth(told.slice(Math.round((levelFromMs - knownFromMs) / DAY_MS)))
  const ask = { windowMs, limit: limit ?? 0, growth: growth ?? NO_GROWTH }
  return {
    subject,
    days,
    growth,
    changes,
    // Days on which the subject was not there yet say nothing of its weeks and windows.
    season: seasonProfile(historySince(history, knownFromMs)),
    outgrown: limit === null ? null : outgrownBy(historySince(history, levelFromMs), ask),
  }
}

/** The same from the begin of an hour on. */
function historySince(history: History, fromMs: number): History {
  const before = Math.round((fromMs - history.startMs) / history.stepMs)
  const usedBefore = history.total[before] ?? 0
  return { ...history, startMs: fromMs, total: history.total.subarray(before).map(units => units - usedBefore) }
}

/** Of most of its hours nothing was recorded of anybody: it says nothing of a level. */
const isSilentDay = (silent: ReadonlySet<number>, startMs: number): boolean =>
  Array.from({ length: DAY_HOURS }, (_, hour) => silent.has(startMs + hour * HOUR_MS)).filter(Boolean).length >
  DAY_HOURS / 2
