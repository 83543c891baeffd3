/** The limiter role: gateways ask, it decides; call records settle what was estimated; the store corrects what is off. */
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import type { Identity } from '../collector/identity.ts'
import type { CallLog } from '../collector/log/call-log.ts'
import type { PrincipalOf, Routes } from '../collector/principal.ts'
import type { Store } from '../collector/store/open.ts'
import type { Control } from './control/control.ts'
import { createDecisionIds } from './limit/decision-id.ts'
import { startDecisionSumming } from './limit/decision-summing.ts'
import { createForwardAuthRoutes } from './limit/forward-auth.ts'
import { createGatewayLinks } from './limit/gateway-links.ts'
import { createCheckRoutes } from './limit/http.ts'
import type { LimitsOptions } from './limit/limit-store.ts'
import { createLimiter } from './limit/limiter.ts'
import { openLimitStore } from './limit/open.ts'
import { startReconciler } from './limit/reconcile.ts'
import { createResetRoutes } from './limit/resets.ts'
import { startSettler } from './limit/settler.ts'
import { createLimiterStatusRoutes, type LimiterStatus, limiterStatus } from './limit/status.ts'
import type { Policy } from './policy/policy.ts'
import type { Quota } from './policy/quota.ts'
import { isRecordedUpTo, readRecorded, recordedSinceMs } from './usage/recorded.ts'

export const LimiterOptions = Type.Object(
  {
    reconcileSeconds: Type.Integer({
      default: 60,
      minimum: 1,
      maximum: 86_400,
      description: 'How often usage is compared with what the store holds.',
    }),
    callIdBytesMax: Type.Integer({
      default: 64 * 2 ** 20,
      minimum: 2 ** 20,
      description: 'Memory for the ids of call records that were applied, so that a resent one is not applied again.',
    }),
  },
  { additionalProperties: false },
)
export type LimiterOptions = Static<typeof LimiterOptions>

export interface LimiterDeps {
  options: LimiterOptions
  limits: LimitsOptions
  /** The limit store's own folder. */
  dir: string
  log: CallLog
  store: Store
  control: Control
  /** Of the config; recorded in the control log where they differ from the last ones. */
  quotas: readonly Quota[]
  policy: () => Policy
  identity: Identity
  /** Configured labels that are dimensions, in their order. */
  labelColumns: readonly string[]
  /** Newest first: the first one signs decision ids, all of them are accepted. */
  decisionKeys: readonly string[]
  /** The route of a path, as in call records: ids replaced. */
  routeOf: (path: string) => string
  principalOf: PrincipalOf
  logger: Logger
  now?: () => number
}

/** The running role. */
export interface LimiterRole {
  routes: Routes[]
  /** Why decisions are not counted or not kept; empty when they are. The log and the store may be away. */
  readiness(): Promise<string[]>
  status(): Promise<LimiterStatus>
  /** Hands on the sums of decisions and writes the counters. */
  close(): Promise<void>
}

/** Decides from the first moment on, whether or not the log and the store are there. Throws `LimitStoreError`. */
export async function openLimiter(deps: LimiterDeps): Promise<LimiterRole> {
  const { options, quotas, policy, log, identity, labelColumns, principalOf, logger, now = Date.now } = deps
  const store = await openLimitStore(deps.limits, {
    dir: deps.dir,
    log: logger.child({ part: 'limits' }),
    // Unless a test gives one, each store knows best what its clock is.
    ...(deps.now === undefined ? {} : { now: deps.now }),
  })
  const decisionIds = createDecisionIds(deps.decisionKeys)
  const links = createGatewayLinks()
  const settler = startSettler({
    log,
    store,
    policy,
    labelColumns,
    decisionIds,
    callIdBytesMax: options.callIdBytesMax,
    onRecordWithoutId: links.recordedWithoutId,
    logger: logger.child({ part: 'settler' }),
    now,
  })
  const { client } = deps.store
  const reconciler = startReconciler({
    log,
    store,
    policy,
    recorded: {
      costs: query => readRecorded(client, query),
      isUpTo: position => isRecordedUpTo(client, position),
      keptSinceMs: recordedSinceMs,
    },
    everyMs: options.reconcileSeconds * 1000,
    logger: logger.child({ part: 'reconcile' }),
  })
  const summing = startDecisionSumming({ log, logger: logger.child({ part: 'summing' }) })
  const limiter = createLimiter({
    policy,
    store,
    summing,
    asOfMs: settler.asOfMs,
    onCheck: links.checked,
    logger: logger.child({ part: 'limiter' }),
  })
  const recording = deps.control.recordQuotas(quotas.map(quota => quota.options))
  const parts = { store, settler, reconciler, links, policy }
  return {
    routes: [
      createCheckRoutes({ limiter, decisionIds, identity, labelColumns, principalOf }),
      createResetRoutes({ store, control: deps.control, policy, principalOf }),
      createForwardAuthRoutes({ limiter, decisionIds, identity, policy, routeOf: deps.routeOf, principalOf }),
      createLimiterStatusRoutes({ ...parts, principalOf }),
    ],
    readiness: async () => [store.unavailable() ?? []].flat(),
    status: () => limiterStatus(parts, null),
    async close() {
      await Promise.all([settler.close(), reconciler.close(), summing.close(), recording.stop()])
      await store.close()
    },
  }
}
