/** What each role is made of: the ground that all of them stand on, its own part, and a server with the part's routes. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { openAnalyzer } from '../analyzer/analyzer.ts'
import { type Control, openControl } from '../analyzer/control/control.ts'
import { createLivePolicy } from '../analyzer/control/live-policy.ts'
import { explainRoute } from '../analyzer/limit/explain.ts'
import { RESERVATIONS_ROUTE } from '../analyzer/limit/reservation-list.ts'
import { openLimiter } from '../analyzer/limiter.ts'
import type { Policy } from '../analyzer/policy/policy.ts'
import { parseQuota, type Quota } from '../analyzer/policy/quota.ts'
import { openCollector } from '../collector/collector.ts'
import { createIdentity, type Identity } from '../collector/identity.ts'
import type { CallLog } from '../collector/log/call-log.ts'
import { routeOf } from '../collector/normalize/route.ts'
import { createRoutePatterns } from '../collector/normalize/route-patterns.ts'
import type { BeginCall, Principal, QuickRoute, Readiness, Routes } from '../collector/principal.ts'
import { sayRarely } from '../collector/rarely.ts'
import { REJECTION_COUNTS_ROUTE, REJECTIONS_ROUTE } from '../collector/rejection-routes.ts'
import { startEmbeddedStore } from '../collector/store/embedded.ts'
import type { Store } from '../collector/store/open.ts'
import packageJson from '../package.json' with { type: 'json' }
import { type Role, roleAddress, roleUrl } from './addresses.ts'
import { createVerifier } from './auth.ts'
import type { Config } from './config-schema.ts'
import { createServer } from './http.ts'
import { createMayStay, principalOf } from './http-access.ts'
import { closeServer } from './http-closing.ts'
import { listen } from './http-listening.ts'
import { createLifecycle, type Lifecycle } from './lifecycle.ts'
import { createLogger } from './logging.ts'
import { hearWarnings } from './node-warnings.ts'
import { openLogOf, openStoreOf } from './open-data.ts'
import { createRelayRoutes } from './relay.ts'
import { measureCalls } from './rpc-telemetry.ts'
import { openAdminToken, openSecrets, type Secrets } from './secrets.ts'
import { createSessionRoutes } from './session-routes.ts'
import { createSessions, type Sessions } from './sessions.ts'
import { shareMetrics } from './shared-metrics.ts'
import { createSourceListRoutes } from './source-list-routes.ts'
import type { Telemetry } from './telemetry.ts'

/** What requests under way get at the end before they are cut off. */
const REQUEST_GRACE_MS = 3_000

/** What the parts of every role stand on. */
interface Ground {
  config: Config
  logger: Logger
  lifecycle: Lifecycle
  /** Of the limiter: which of the processes that only decide, beside the one that does all, this is; 0 is that one. */
  helper: number
  secrets: Secrets
  callLog: CallLog
  store: Store
  control: Control
  /** Of the config. */
  quotas: Quota[]
  policy: () => Policy
  identity: Identity
  /** Whose token it is, or `null`. */
  verify: (token: string) => Principal | null
  beginCall: BeginCall
}

/** A role's own part. */
interface Part {
  routes: readonly Routes[]
  /** Where browsers may log in. */
  sessions?: Sessions
  quick?: readonly QuickRoute[]
  readiness(): Promise<Readiness>
  close(): Promise<void>
}

/** Runs a role until it is told to stop, and answers the exit code. Telemetry has to be started before. */
export async function serveRole(
  role: Role,
  { config, telemetry, helper }: { config: Config; telemetry: Telemetry; helper: number },
): Promise<number> {
  const logger = createLogger({ role }, config.logging.level)
  const lifecycle = createLifecycle({ log: logger, process })
  telemetry.logTo(logger.child({ part: 'telemetry' }))
  // Whoever reads the log reads lines of JSON.
  hearWarnings((warning, reason) =>
    sayRarely(logger, `${warning} ${reason}`, { times: 1 }, sums =>
      logger.warn({ warning, reason, ...sums }, 'Node warns'),
    ),
  )
  lifecycle.onStop('telemetry', () => telemetry.close())
  try {
    await Promise.race([openRole(role, { config, logger, lifecycle, telemetry, helper }), lifecycle.stopped])
  } catch (error) {
    logger.fatal({ err: error }, 'the role cannot start')
    lifecycle.stop('the role cannot start')
    await lifecycle.stopped
    return 1
  }
  return lifecycle.stopped
}

async function openRole(
  role: Role,
  context: { config: Config; logger: Logger; lifecycle: Lifecycle; telemetry: Telemetry; helper: number },
): Promise<void> {
  const { config, logger, lifecycle, telemetry, helper } = context
  const beginCall = measureCalls(telemetry.isTracing)
  const ground = await openGround({ config, logger, lifecycle, helper, beginCall })
  const processes = role === 'limiter' ? config.limiter.processes : 1
  const part = await PARTS[role](ground)
  lifecycle.onStop(role, () => part.close())
  const server = await createServer({
    role,
    version: packageJson.version,
    log: logger.child({ part: 'http' }),
    routes: part.routes,
    quick: part.quick ?? [],
    verify: ground.verify,
    ...(part.sessions === undefined ? {} : { sessions: part.sessions }),
    readiness: async () => withControl(await part.readiness(), ground.control),
    metrics: shareMetrics(telemetry.metrics, { name: String(helper), processes }),
    isTracing: telemetry.isTracing,
  })
  lifecycle.onStop('http', () => closeServer(server, REQUEST_GRACE_MS))
  const url = await listen(server, { ...roleAddress(role, config), isPortShared: processes > 1 })
  logger.info({ url }, 'listening')
}

/** No role is less ready for a control log that is away: what held stays in force, and the limiter starts without it, too. */
function withControl({ isReady, reasons }: Readiness, control: Control): Readiness {
  const unavailable = control.unavailable()
  if (unavailable === null) return { isReady, reasons }
  const unknown = `changes at run time are not known here, and what held before stays in force, until the control log can be read: ${unavailable}`
  return { isReady, reasons: [...reasons, unknown] }
}

async function openGround(
  context: Pick<Ground, 'config' | 'logger' | 'lifecycle' | 'helper' | 'beginCall'>,
): Promise<Ground> {
  const { config, logger, lifecycle } = context
  const secrets = openSecrets(config.dataDir, config.secrets)
  const callLog = await openLogOf(config, logger.child({ part: 'log' }))
  lifecycle.onStop('log', () => callLog.close())
  const store = await openStoreOf(config, logger.child({ part: 'store' }))
  lifecycle.onStop('store client', () => store.close())
  const quotas = config.quotas.map(quota => parseQuota(quota, config.labels))
  const identity = createIdentity({ fingerprintKeys: secrets.fingerprintKeys, keys: config.keys })
  const policy = createLivePolicy(quotas, config.labels)
  const control = await openControl({ log: callLog, onChange: policy.fold, logger: logger.child({ part: 'control' }) })
  lifecycle.onStop('control', () => control.close())
  const verify = createVerifier({
    adminToken: openAdminToken(config.dataDir),
    tokens: config.auth.tokens,
    verifyToken: control.verifyToken,
  })
  return { ...context, secrets, callLog, store, control, quotas, policy: policy.current, identity, verify }
}

const PARTS: Record<Role, (ground: Ground) => Promise<Part>> = {
  async store({ config, logger }) {
    assert(config.store.kind === 'embedded', 'only an embedded store is a role')
    const store = await startEmbeddedStore(config.store, {
      dir: join(config.dataDir, 'store'),
      log: logger.child({ part: 'engine' }),
    })
    return {
      routes: [],
      readiness: async () => {
        const reason = store.readiness()
        return { isReady: reason === null, reasons: [reason ?? []].flat() }
      },
      close: () => store.stop(),
    }
  },

  collector({ config, logger, callLog, store, identity, verify, beginCall }) {
    const { mappings, sources, prices, labels } = config
    return openCollector({
      options: config.collector,
      log: callLog,
      store,
      identity,
      mappings,
      sources,
      prices,
      labelColumns: labels,
      auditRetentionSeconds: config.store.auditRetentionSeconds,
      principalOf,
      verify,
      beginCall,
      dir: join(config.dataDir, 'sources'),
      logger,
    })
  },

  limiter({ config, logger, callLog, store, control, quotas, policy, identity, secrets, verify, beginCall, helper }) {
    const patterns = createRoutePatterns(config.collector.routes)
    return openLimiter({
      options: config.limiter,
      limits: config.limits,
      dir: join(config.dataDir, 'limits'),
      log: callLog,
      store,
      control,
      quotas,
      policy,
      identity,
      labelColumns: config.labels,
      decisionKeys: secrets.decisionKeys,
      isHelper: helper > 0,
      // A door does not know the service.
      routeOf: path => routeOf(path, '', patterns),
      verify,
      principalOf,
      beginCall,
      logger,
    })
  },

  async analyzer({ config, logger, store, control, quotas, policy, identity, verify }) {
    const sessions = createSessions()
    const analyzer = await openAnalyzer({
      options: config.analyzer,
      alerts: config.alerts,
      currency: config.currency,
      store,
      control,
      configured: new Set(quotas.map(({ name }) => name)),
      policy,
      labelColumns: config.labels,
      nameOf: identity.nameOf,
      principalOf,
      mayStay: createMayStay({ verify, sessions }),
      logger,
    })
    return { ...analyzer, sessions, routes: [...analyzer.routes, ...consoleRoutes({ config, sessions, verify })] }
  },
}

/** What the console needs beside the analyzer's own routes. */
const consoleRoutes = ({ config, sessions, verify }: Pick<Ground, 'config' | 'verify'> & { sessions: Sessions }) => [
  createSessionRoutes({ sessions, verify, principalOf }),
  createSourceListRoutes(config, principalOf),
  createRelayRoutes({
    role: 'limiter',
    url: roleUrl('limiter', config),
    routes: [RESERVATIONS_ROUTE, explainRoute(config.labels)],
  }),
  createRelayRoutes({
    role: 'collector',
    url: roleUrl('collector', config),
    routes: [REJECTIONS_ROUTE, REJECTION_COUNTS_ROUTE],
  }),
]
