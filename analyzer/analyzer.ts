/** The analyzer role: what is used becomes a forecast for every subject of every quota, and both can be asked for. */
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import type { MayStay, PrincipalOf, Readiness, Routes } from '../collector/principal.ts'
import type { Store } from '../collector/store/open.ts'
import { type AlertOptions, createChannels } from './alert/alert-options.ts'
import { type Alerting, createAlerting } from './alert/alerting.ts'
import type { ChannelStatus } from './alert/telling.ts'
import { createAccuracyRoutes } from './api/accuracy.ts'
import { createAlertRoutes } from './api/alerts.ts'
import { createAnomalyRoutes } from './api/anomalies.ts'
import { createCallRoutes } from './api/calls.ts'
import { createDenialRoutes } from './api/denials.ts'
import { createEndedAlertRoutes } from './api/ended-alerts.ts'
import { createForecastPathRoutes } from './api/forecast-path.ts'
import { createForecastRoutes } from './api/forecasts.ts'
import { createGatewayRoutes } from './api/gateways.ts'
import { createLive } from './api/live.ts'
import { createNextRoutes } from './api/next.ts'
import { createPerformanceTrendRoutes } from './api/performance-trends.ts'
import { createPolicyRoutes } from './api/policy.ts'
import { type AnalyzerStatus, createStatusRoutes, toStatus } from './api/status.ts'
import { createTrendRoutes } from './api/trends.ts'
import { createUsageRoutes } from './api/usage.ts'
import { createWhatIfRoutes } from './api/what-if.ts'
import { createConsoleRoutes } from './console/routes.ts'
import type { Control } from './control/control.ts'
import {
  changesMade,
  changesWaiting,
  quotaReadFailed,
  risksObserved,
  tickFinished,
  tickSkipped,
  ticksResumed,
} from './events.ts'
import type { NameOf } from './limit/raw-keys.ts'
import type { Policy } from './policy/policy.ts'
import { openFitting } from './tick/fitting.ts'
import { hasReset } from './tick/followed-quota.ts'
import { risksOf } from './tick/risks.ts'
import { startSchedule } from './tick/schedule.ts'
import { isInShard, parseShard, type Shard, WHOLE } from './tick/shard.ts'
import { type SteeringDeps, steer } from './tick/steering.ts'
import { createTicker, type Snapshot, type Ticker } from './tick/ticker.ts'

/** What a tick may take longer than the one before. */
const LATE_MS = 30_000

export const AnalyzerOptions = Type.Object(
  {
    tickSeconds: Type.Integer({
      default: 5,
      minimum: 1,
      maximum: 3_600,
      description: 'Time from one tick to the next: what is new is read, and forecasts that are due are made.',
    }),
    subjectsMax: Type.Integer({
      default: 10_000,
      minimum: 1,
      maximum: 500_000,
      description:
        'Most subjects to follow over all quotas: those that called within a day first, then the most used ones; those cut ' +
        'off are counted in the status, and who has several quotas counts for each. One takes about 4 kB of memory; above ' +
        '50,000 a tick takes longer than 5 s.',
    }),
    shard: Type.String({
      default: '1/1',
      pattern: '^[1-9][0-9]{0,2}/[1-9][0-9]{0,2}$',
      description:
        'Which of several analyzers this one is, as in `2/3`: subjects are shared by a hash, and each analyzer follows its own. ' +
        'What the others forecast is read from the store.',
    }),
    threads: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 64,
      description:
        'Threads in which the demand of subjects is learnt anew, about once an hour each, so that requests are answered ' +
        'meanwhile; 0: between the requests.',
    }),
  },
  { additionalProperties: false },
)
export type AnalyzerOptions = Static<typeof AnalyzerOptions>

/** Why the options cannot be, each with the path of the option. */
export function* analyzerProblems({ shard }: AnalyzerOptions): Iterable<string> {
  if (parseShard(shard) === null)
    yield `analyzer.shard: ${shard} is none of as many analyzers, at most 256: the first of three is 1/3`
}

export interface AnalyzerDeps {
  options: AnalyzerOptions
  alerts: AlertOptions
  /** Of costs, in words. */
  currency: string
  store: Store
  control: Control
  /** Names of the quotas of the config. */
  configured: ReadonlySet<string>
  policy: () => Policy
  /** Configured labels that are columns, in their order. */
  labelColumns: readonly string[]
  nameOf: NameOf
  principalOf: PrincipalOf
  mayStay: MayStay
  logger: Logger
  now?: () => number
}

export interface Analyzer {
  routes: Routes[]
  /** Ready from the first tick on. The reasons say why forecasts are missing or old. */
  readiness(): Promise<Readiness>
  status(): AnalyzerStatus
  /** Resolves when the tick under way has ended. */
  close(): Promise<void>
}

/** Begins to tick at once, whether or not the store answers yet. */
export async function openAnalyzer(deps: AnalyzerDeps): Promise<Analyzer> {
  const { options, store, control, configured, policy, labelColumns, principalOf, logger, now = Date.now } = deps
  const log = logger.child({ part: 'tick' })
  const fitting = openFitting(options.threads)
  const shard = parseShard(options.shard) ?? WHOLE
  const stopping = new AbortController()
  const ticker = createTicker({
    client: store.client,
    policy,
    subjectsMax: options.subjectsMax,
    ...{ fitting, shard, now, signal: stopping.signal },
  })
  const snapshots = control.writeSnapshots()
  const steering = createSteering({ control, policy, now }, log)
  const alerting = openAlerting(deps, shard, now)
  const snapshot = () => withLateness(ticker.snapshot(), options.tickSeconds * 1000, now())
  const live = createLive({ client: store.client, snapshot, principalOf, mayStay: deps.mayStay, now })
  const schedule = startSchedule(options.tickSeconds * 1000, async () => {
    const made = await tickOnce(ticker, log, stopping.signal)
    if (made) {
      await steering(made)
      await alerting.follow(made)
    } else alerting.tell()
    void live.publish()
    return made !== null
  })
  const channels = new Set(Object.keys(deps.alerts.channels))
  const quotas = () => policy().quotas.filter(hasReset)
  // Before the first tick nobody knows.
  const risks = () => (snapshot().asOfMs === null ? [] : risksOf(policy().quotas, snapshot().forecasts))
  const endObserving = risksObserved(risks)
  const api = { client: store.client, quotas, policy, labelColumns, snapshot, principalOf, now }
  return {
    routes: [
      createForecastRoutes(api),
      createNextRoutes(api),
      createForecastPathRoutes(api),
      createWhatIfRoutes(api),
      createAccuracyRoutes(api),
      createTrendRoutes(api),
      createPerformanceTrendRoutes(api),
      createAnomalyRoutes(api),
      createUsageRoutes(api),
      createCallRoutes({ ...api, quotas: () => policy().quotas }),
      createDenialRoutes(api),
      createGatewayRoutes(api),
      live.routes,
      createStatusRoutes(api),
      createAlertRoutes({ alerting, principalOf }),
      createEndedAlertRoutes({ ...api, alerting }),
      createPolicyRoutes({ control, policy, configured, labelColumns, channels, nameOf: deps.nameOf, principalOf }),
      createConsoleRoutes(),
    ],
    readiness: async () => readinessOf(snapshot(), alerting.channels()),
    status: () => toStatus({ snapshot: snapshot(), policy: policy(), nowMs: now(), own: null }),
    async close() {
      endObserving()
      stopping.abort()
      await schedule.close()
      await alerting.close()
      await snapshots.stop()
      await fitting.close()
    },
  }
}

function readinessOf({ asOfMs, skipped, quotasFailed }: Snapshot, channels: readonly ChannelStatus[]): Readiness {
  const reasons = quotasFailed.map(({ quota, reason }) => `the quota ${quota} could not be read: ${reason}`)
  for (const { failure } of channels) if (failure !== null) reasons.push(failure)
  if (skipped !== null) reasons.push(`the last tick was skipped: ${skipped}`)
  else if (asOfMs === null) reasons.push('the first tick has not ended yet')
  return { isReady: asOfMs !== null, reasons }
}

function openAlerting(
  { alerts, currency, control, policy, logger }: AnalyzerDeps,
  shard: Shard,
  now: () => number,
): Alerting {
  return createAlerting({
    isOwn: (quota, subject) => isInShard(shard, quota, subject),
    ...{ control, policy, now, channels: createChannels(alerts, currency), groupMs: alerts.groupSeconds * 1000 },
    logger: logger.child({ part: 'alert' }),
  })
}

/** Changes what follows from a tick. A control log that is away is no reason to die: the next tick tries again. */
function createSteering(deps: SteeringDeps, log: Logger): (snapshot: Snapshot) => Promise<void> {
  let waitingFor: string | null = null
  return async ({ forecasts, asOfMs }) => {
    try {
      const made = await steer(
        deps,
        forecasts.filter(forecast => forecast.asOfMs === asOfMs),
      )
      if (made > 0) changesMade(made)
      waitingFor = null
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      changesWaiting(log, reason, reason !== waitingFor)
      waitingFor = reason
    }
  }
}

/** What a snapshot says of a tick that was not done, it says of one that does not end, too: the store may hang. */
function withLateness(snapshot: Snapshot, turnMs: number, nowMs: number): Snapshot {
  const { asOfMs, skipped, tickMs } = snapshot
  const lateMs = nowMs - (asOfMs ?? nowMs)
  if (skipped !== null || lateMs <= turnMs + 2 * tickMs + LATE_MS) return snapshot
  return { ...snapshot, skipped: `no tick has ended for ${Math.round(lateMs / 1000)} s, the store may hang` }
}

/**
 * One tick with its events; answers what it forecast, also where that could not be kept, or `null`. A store that is away is
 * no reason to die.
 */
async function tickOnce(ticker: Ticker, log: Logger, stopping: AbortSignal): Promise<Snapshot | null> {
  const { forecasts, skipped: skippedBefore, quotasFailed: failedBefore, asOfMs } = ticker.snapshot()
  try {
    const snapshot = await ticker.tick()
    if (skippedBefore !== null) ticksResumed(log)
    tickFinished(log, snapshot)
    for (const failure of snapshot.quotasFailed) {
      quotaReadFailed(log, failure, !failedBefore.some(({ quota }) => quota === failure.quota))
    }
  } catch {
    if (stopping.aborted) return null
    const reason = ticker.snapshot().skipped ?? ''
    const level = asOfMs === null ? 'info' : 'warn'
    tickSkipped(log, reason, reason === skippedBefore ? null : level)
  }
  const made = ticker.snapshot()
  return made.forecasts === forecasts ? null : made
}
