/** `GET /v1/status` of the limiter: how fresh its counters are, and what keeps them from being exact. */
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import type { Policy } from '../policy/policy.ts'
import type { Estimates } from './estimates.ts'
import type { GatewayLinks } from './gateway-links.ts'
import type { LimitStore } from './limit-store.ts'
import type { Reconciler } from './reconcile.ts'
import type { Settler } from './settler.ts'

const nullable = (description: string) => Type.Union([Type.Number(), Type.Null()], { description })
const count = (description: string) => Type.Integer({ description })

export const LimiterStatus = Type.Object(
  {
    role: Type.Literal('limiter'),
    asOfMs: Type.Number({ description: 'Call records that arrived before are counted, Unix milliseconds.' }),
    dataAgeMs: Type.Number({ description: 'Age of that instant.' }),
    unavailable: Type.Union([Type.String(), Type.Null()], {
      description: 'Why decisions are not counted, or not kept, now.',
    }),
    quotas: count('Quotas of the config and of the API.'),
    buckets: count('Subjects in windows that are open.'),
    records: Type.Object(
      {
        linked: count('Replaced the estimate of their check by the true cost.'),
        unlinked: count('Spent as they arrived.'),
        repeated: count('Belong to a decision that was settled before.'),
        duplicate: count('Were sent before.'),
        unreadable: count('Are no call records.'),
      },
      { description: 'Call records applied since the start, by what became of them.' },
    ),
    lagEntries: nullable('Entries of the log that wait to be applied; null while the log is away.'),
    comparedAtMs: nullable('When usage was last compared with the store, Unix milliseconds.'),
    notCompared: Type.Union([Type.String(), Type.Null()], { description: 'Why not since.' }),
    estimates: Type.Object(
      {
        quantile: Type.Number({ description: 'Share of earlier calls that an estimate covers.' }),
        kinds: count('Kinds of calls (consumer, model, route) whose costs are known.'),
        calls: count('Calls whose true cost came to be known, and would have been estimated.'),
        overrunRate: nullable(
          'Share of these that cost more than the estimate, of a call in several units that of its units; null before the first.',
        ),
        denials: count('Reservations that were denied on an estimate.'),
        needlessRate: nullable(
          'Share of these that would probably have fitted: by what such calls cost, and the room that there was.',
        ),
      },
      { description: 'Estimates of costs that callers do not state, since the start.' },
    ),
    gatewaysWithoutIds: Type.Array(
      Type.Object({
        gateway: Type.String(),
        checks: count('Checks of the last hour or two.'),
        recordsWithoutId: count('Call records of that time without any id.'),
        hint: Type.String({ description: 'What to do.' }),
      }),
      { description: 'Gateways that ask and whose records cannot be linked; only for callers who see all tenants.' },
    ),
  },
  { $id: 'LimiterStatus' },
)
export type LimiterStatus = Static<typeof LimiterStatus>

export interface LimiterStatusDeps {
  store: LimitStore
  settler: Settler
  reconciler: Pick<Reconciler, 'status'>
  links: GatewayLinks
  policy: () => Policy
  estimates: Estimates
}

export function createLimiterStatusRoutes(deps: LimiterStatusDeps & { principalOf: PrincipalOf }): Routes {
  return server => {
    server.get(
      '/v1/status',
      {
        schema: {
          summary: 'State of the limiter',
          description: 'Freshness of the counters, what became of call records, and which gateways hand no id on.',
          tags: ['status'],
          response: { 200: LimiterStatus },
        },
        config: { access: 'read' },
      },
      request => limiterStatus(deps, deps.principalOf(request).tenant),
    )
  }
}

/** The status as a caller may see it who is bound to `tenant`, or to none (`null`). */
export async function limiterStatus(deps: LimiterStatusDeps, tenant: string | null): Promise<LimiterStatus> {
  const { store, settler, reconciler, links, policy, estimates } = deps
  const nowMs = store.nowMs()
  const asOfMs = settler.asOfMs(nowMs)
  const { comparedAtMs, skipped } = reconciler.status()
  return {
    role: 'limiter',
    asOfMs,
    dataAgeMs: nowMs - asOfMs,
    unavailable: store.unavailable(),
    quotas: policy().quotas.length,
    buckets: store.bucketCount(),
    records: settler.counts(),
    lagEntries: await settler.lagEntries().catch(() => null),
    comparedAtMs,
    notCompared: skipped,
    estimates: toEstimateStatus(estimates),
    gatewaysWithoutIds: tenant === null ? links.unlinked() : [],
  }
}

function toEstimateStatus({ quantile, kinds, counts }: Estimates): LimiterStatus['estimates'] {
  const { calls, overran, denials, needless } = counts()
  return {
    quantile,
    kinds: kinds(),
    calls,
    overrunRate: calls === 0 ? null : overran / calls,
    denials,
    needlessRate: denials === 0 ? null : needless / denials,
  }
}
