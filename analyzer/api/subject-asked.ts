/** The subjects that a request is about: one by name, or some of a quota, as far as its caller may see them. */
import type { ClickHouseClient } from '@clickhouse/client'
import Type, { type Static } from 'typebox'
import type { PrincipalOf } from '../../collector/principal.ts'
import { narrowedTo, ofTenant } from '../policy/narrowing.ts'
import type { Policy } from '../policy/policy.ts'
import type { FollowedQuota, ResettingQuota } from '../tick/followed-quota.ts'
import { type OneSubject, readSubject } from '../tick/one-subject.ts'
import type { FollowedForecast } from '../tick/subject-forecast.ts'
import type { Snapshot } from '../tick/ticker.ts'
import { RequestError, tenantAsked } from './request-error.ts'
import { dimensionValue, quotaName } from './schema.ts'

/** What answers about one quota are made from. */
export interface QuotaQueryDeps {
  client: ClickHouseClient
  /** Those whose windows reset. */
  quotas: () => readonly ResettingQuota[]
  principalOf: PrincipalOf
  now: () => number
}

/** What answers about one subject are made from, beside its forecast. */
export interface SubjectQueryDeps extends Omit<QuotaQueryDeps, 'quotas'> {
  policy: () => Policy
  /** Configured labels that are columns. */
  labelColumns: readonly string[]
  snapshot: () => Snapshot
}

/**
 * Reads the subject, named by all dimensions of the quota's `per` and no others (an unknown one is an empty text).
 * Throws `RequestError`: 400 for other dimensions, 404 for a subject of which nothing is known
 * (unless `isKnown`).
 */
export async function subjectAsked(
  { client, snapshot }: Pick<SubjectQueryDeps, 'client' | 'snapshot'>,
  quota: FollowedQuota,
  named: Readonly<Record<string, string>>,
  ask: { nowMs: number; isKnown?: boolean },
): Promise<OneSubject> {
  const names = quota.per.map(({ name }) => name)
  const isSame = names.every(name => Object.hasOwn(named, name)) && Object.keys(named).length === names.length
  if (!isSame) {
    const expected = names.length === 0 ? 'no dimension' : `a value each for ${names.join(', ')}, and nothing else`
    throw new RequestError(400, 'PARAMETER_INVALID', `A subject of the quota ${quota.name} is named by ${expected}.`)
  }
  const one = await readSubject(
    client,
    quota,
    names.map(name => named[name] ?? ''),
    ask,
  )
  if (!one) throw unknownSubject(quota)
  // Read alone, it has no others to be compared with.
  return { ...one, series: { ...one.series, ...snapshot().sharedOf(quota.name) } }
}

/** The forecast if there is one that a caller of this tenant (`null`: of all) may see. Throws `RequestError` (404). */
export function visibleForecast(
  quota: FollowedQuota,
  made: FollowedForecast | null,
  own: string | null,
): FollowedForecast {
  if (!made || (own !== null && made.forecast.tenant !== own)) throw unknownSubject(quota)
  return made
}

const unknownSubject = ({ name }: FollowedQuota): RequestError =>
  new RequestError(404, 'SUBJECT_UNKNOWN', `Nothing is known of this subject of the quota ${name}.`)

const SUBJECTS_MAX = 100

/** Parameters of a request about some subjects of one quota. */
export const SubjectsQuery = Type.Object(
  {
    quota: quotaName('Name of the quota.'),
    tenant: Type.Optional(dimensionValue('Only of this tenant.')),
    consumer: Type.Optional(dimensionValue('Only of this consumer.')),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: SUBJECTS_MAX,
        default: 20,
        description: 'Most subjects to answer, the most used ones.',
      }),
    ),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
export type SubjectsQuery = Static<typeof SubjectsQuery> & { limit: number }

/** The part of the quota that was asked for and that a caller of the tenant `own` (`null`: of all) may see, if any. */
export function visibleQuota(
  quota: ResettingQuota,
  { tenant: named, consumer }: SubjectsQuery,
  own: string | null,
): ResettingQuota | null {
  const tenant = tenantAsked(own, named)
  const ofOne = tenant === undefined ? quota : ofTenant(quota, tenant)
  return ofOne && consumer !== undefined ? narrowedTo(ofOne, [{ field: 'consumer', value: consumer }]) : ofOne
}
