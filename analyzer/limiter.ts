/** The limiter role: gateways ask, it decides; call records settle what was estimated; the store corrects what is off. */
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import type { Identity } from '../collector/identity.ts'
import type { CallLog } from '../collector/log/call-log.ts'
import type { BeginCall, Principal, PrincipalOf, QuickRoute, Readiness, Routes } from '../collector/principal.ts'
import type { Store } from '../collector/store/open.ts'
import type { Control } from './control/control.ts'
import { CallerOptions, createCallerReader } from './limit/caller.ts'
import { createDecisionIds, type DecisionIds } from './limit/decision-id.ts'
import { startDecisionSumming } from './limit/decision-summing.ts'
import { createQuotaHeaders } from './limit/door-answer.ts'
import { createEstimates, ESTIMATE_QUANTILE } from './limit/estimates.ts'
import { createExplainRoutes } from './limit/explain.ts'
import { createForwardAuthRoutes } from './limit/forward-auth.ts'
import { createGatewayLinks } from './limit/gateway-links.ts'
import { GrpcOptions, openGrpc } from './limit/grpc/open.ts'
import { createCheckRoutes } from './limit/http.ts'
import { startLearning } from './limit/learning.ts'
import type { LimitStore } from './limit/limit-store.ts'
import { createLimiter } from './limit/limiter.ts'
import type { LimitsOptions } from './limit/limits-options.ts'
import { openLimitStore } from './limit/open.ts'
import { createQuickCheck, createQuickForwardAuth } from './limit/quick.ts'
import { createRecordRoutes } from './limit/record.ts'
import { createReservationListRoutes } from './limit/reservation-list.ts'
import { createReservationRoutes } from './limit/reservation-routes.ts'
import { createReservations } from './limit/reservations.ts'
import { createResetRoutes } from './limit/resets.ts'
import { DEADLINE_MS } from './limit/shared-limit-store.ts'
import { createLimiterStatusRoutes, type LimiterStatus, limiterStatus } from './limit/status.ts'
import { startUpkeep, upkeepElsewhere } from './limit/upkeep.ts'
import type { Policy } from './policy/policy.ts'
import type { Quota } from './policy/quota.ts'
import { readCosts } from './usage/costs.ts'
import { type DecisionSums, readDecisions } from './usage/decisions.ts'

const PROCESSES_MAX = 64

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
    estimateQuantile: Type.Number({
      default: ESTIMATE_QUANTILE,
      exclusiveMinimum: 0,
      maximum: 1,
      description:
        'Share of earlier calls that the estimate of a call covers whose cost is not stated. The higher, the less a ' +
        'quota can overshoot and the more calls are denied that would have fitted.',
    }),
    deadlineMs: Type.Integer({
      default: DEADLINE_MS,
      minimum: 1,
      maximum: 1_000,
      description:
        'Within which a decision is given. Where Redis has not answered by then, quotas answer as `onStoreFailure` says: ' +
        '`deny`, or `allow` what was left when Redis last told.',
    }),
    processes: Type.Integer({
      default: 1,
      minimum: 1,
      maximum: PROCESSES_MAX,
      description:
        'Processes of this machine that decide, on the same two ports; more than one only with `limits.kind: redis`. ' +
        'One of them applies call records, too.',
    }),
    callers: CallerOptions,
    legacyHeaders: Type.Boolean({
      default: false,
      description: 'Adds `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) of the quota that binds.',
    }),
    grpc: GrpcOptions,
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
  /** Whose token it is, or `null`. */
  verify: (token: string) => Principal | null
  principalOf: PrincipalOf
  /** Left out where nobody measures calls. */
  beginCall?: BeginCall | undefined
  logger: Logger
  now?: () => number
  /** Only decides: another process of this machine, with the same ports and the same counters, does the rest. */
  isHelper?: boolean
}

/** The running role. */
export interface LimiterRole {
  routes: Routes[]
  /** The doors' usual requests. */
  quick: QuickRoute[]
  /** Where the gRPC doors listen. */
  grpcPort: number
  /**
   * The reasons say why decisions are not counted, or not in full, or not kept. It is ready all the same once it has known
   * its counters: it decides without them. The log and the store may be away.
   */
  readiness(): Promise<Readiness>
  status(): Promise<LimiterStatus>
  /** Hands on the sums of decisions and writes the counters. */
  close(): Promise<void>
}

/**
 * Decides from the first moment on, whether or not the log and the store are there. Throws `LimitStoreError`; rejects
 * when the gRPC port cannot be had.
 */
export async function openLimiter(deps: LimiterDeps): Promise<LimiterRole> {
  const { options, policy, identity, labelColumns, routeOf, principalOf, logger } = deps
  const store = await openLimitStore(deps.limits, {
    dir: deps.dir,
    log: logger.child({ part: 'limits' }),
    deadlineMs: options.deadlineMs,
    // Unless a test gives one, each store knows best what its clock is.
    ...(deps.now === undefined ? {} : { now: deps.now }),
  })
  const decisionIds = createDecisionIds(deps.decisionKeys)
  const { limiter, reservations, status: parts, stop } = startParts(deps, store, decisionIds)
  const recording = deps.isHelper ? null : deps.control.recordQuotas(deps.quotas.map(quota => quota.options))
  const readiness = async () => ({
    isReady: store.isJoined(),
    reasons: [store.unavailable() ?? [], limiter.lacking() ?? []].flat(),
  })
  const quotaHeaders = createQuotaHeaders(policy, options.legacyHeaders)
  const door = { limiter, decisionIds, labelColumns, quotaHeaders, routeOf }
  const grpc = await openGrpc({
    ...door,
    options: options.grpc,
    isPortShared: options.processes > 1,
    callers: options.callers,
    identity,
    verify: deps.verify,
    readiness,
    beginCall: deps.beginCall,
    logger: logger.child({ part: 'grpc' }),
  })
  const asking = { identity, labelColumns, routeOf, principalOf }
  const forwarding = { ...door, readCaller: createCallerReader(options.callers.forwardAuth, identity), principalOf }
  return {
    quick: [createQuickCheck({ ...asking, limiter, decisionIds }), ...createQuickForwardAuth(forwarding)],
    routes: [
      createCheckRoutes({ ...asking, limiter, decisionIds }),
      createRecordRoutes({ ...asking, limiter, decisionIds }),
      createReservationRoutes({ ...asking, reservations, decisionIds }),
      createReservationListRoutes({ store, decisionIds, principalOf }),
      createExplainRoutes({ ...asking, limiter, policy, readDecisions: decisionsIn(deps.store.client) }),
      createResetRoutes({ store, control: deps.control, policy, nameOf: deps.identity.nameOf, principalOf }),
      createForwardAuthRoutes(forwarding),
      createLimiterStatusRoutes({ ...parts, principalOf }),
    ],
    grpcPort: grpc.port,
    readiness,
    status: () => limiterStatus(parts, null),
    async close() {
      await grpc.close()
      await Promise.all([stop(), recording?.stop()])
      await store.close()
    },
  }
}

/** What decides, and what keeps its counters true. */
function startParts(deps: LimiterDeps, store: LimitStore, decisionIds: DecisionIds) {
  const { options, policy, log, labelColumns, logger } = deps
  const { client } = deps.store
  const links = createGatewayLinks()
  const estimates = createEstimates({ quantile: options.estimateQuantile })
  const learning = startLearning({
    estimates,
    readCosts: (unit, minutes, handle) => readCosts(client, unit, minutes, handle),
    readOnMs: deps.isHelper ? MINUTE_MS : null,
    nowMs: store.nowMs,
    logger: logger.child({ part: 'estimates' }),
  })
  const summing = startDecisionSumming({ log, logger: logger.child({ part: 'summing' }) })
  const keeping = { log, store }
  const { settler, reconciler, close } = deps.isHelper
    ? upkeepElsewhere(keeping)
    : startUpkeep({
        ...{ ...keeping, policy, labelColumns, decisionIds, client, logger },
        callIdBytesMax: options.callIdBytesMax,
        reconcileMs: options.reconcileSeconds * 1000,
        onRecordWithoutId: links.recordedWithoutId,
        onApplied: learning.learn,
        handOn: summing.handOn,
      })
  const limiter = createLimiter({
    policy,
    store,
    summing,
    asOfMs: settler.asOfMs,
    nameOf: deps.identity.nameOf,
    onCheck: links.checked,
    logger: logger.child({ part: 'limiter' }),
  })
  return {
    limiter,
    reservations: createReservations({ limiter, store, policy, summing, estimates, decisionIds }),
    status: { store, settler, reconciler, links, policy, estimates },
    async stop() {
      await Promise.all([close(), learning.close()])
      await summing.close()
    },
  }
}

const MINUTE_MS = 60_000

/** Reads what one bucket decided in a minute. */
const decisionsIn =
  (client: Store['client']) =>
  async (quota: string, subject: string, minuteMs: number): Promise<DecisionSums[]> => {
    const condition = { sql: 'subject = {subject:String}', params: { subject } }
    const found: DecisionSums[] = []
    const range = { fromMs: minuteMs, toMs: minuteMs + MINUTE_MS }
    await readDecisions(client, { quota, ...range, condition }, sums => found.push(sums))
    return found
  }
