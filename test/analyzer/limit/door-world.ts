/** The doors of a limiter on ports of their own, over an embedded limit store whose clock the test sets. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCallerReader } from '../../../analyzer/limit/caller.ts'
import { createDecisionIds, type DecisionIds } from '../../../analyzer/limit/decision-id.ts'
import { createQuotaHeaders } from '../../../analyzer/limit/door-answer.ts'
import { createForwardAuthRoutes } from '../../../analyzer/limit/forward-auth.ts'
import { openGrpc } from '../../../analyzer/limit/grpc/open.ts'
import { createCheckRoutes } from '../../../analyzer/limit/http.ts'
import type { LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { createLimiter } from '../../../analyzer/limit/limiter.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { createQuickCheck, createQuickForwardAuth } from '../../../analyzer/limit/quick.ts'
import { type Adjustments, createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { createIdentity, type KeyEntry } from '../../../collector/identity.ts'
import { routeOf } from '../../../collector/normalize/route.ts'
import { createRoutePatterns } from '../../../collector/normalize/route-patterns.ts'
import type { Principal } from '../../../collector/principal.ts'
import { createServer } from '../../../deploy/http.ts'
import { principalOf } from '../../../deploy/http-access.ts'
import { listen } from '../../../deploy/http-listening.ts'
import { freePorts } from '../../free-ports.ts'
import { silent } from './call-records.ts'
import { limiterOptions } from './limiter-options.ts'

/** Tokens are the names of these. */
export const PRINCIPALS: Readonly<Record<string, Principal>> = {
  gateway: { name: 'gateway', scopes: new Set(['check']), tenant: null },
  acme: { name: 'acme', scopes: new Set(['check']), tenant: 'acme' },
  admin: { name: 'admin', scopes: new Set(['admin']), tenant: null },
  reader: { name: 'reader', scopes: new Set(['read']), tenant: null },
}
/** Ten minutes into an hour. */
export const START_MS = Date.UTC(2026, 10, 21, 12, 10)

export interface DoorWorld {
  url: string
  grpcPort: number
  store: LimitStore
  decisionIds: DecisionIds
  setNow(nowMs: number): void
  /** The limiter alone, as a kill would; its store and its folder stay. */
  stopDoors(): Promise<void>
  close(): Promise<void>
}

export interface DoorWorldOptions {
  quotas: readonly Quota[]
  adjustments?: Partial<Adjustments>
  keys?: readonly KeyEntry[]
  labelColumns?: readonly string[]
  /** The section `limiter` of the config. */
  limiter?: Record<string, unknown>
  /** Stands before the store. */
  wrap?: (store: LimitStore) => LimitStore
  /** False: every request goes through the framework. */
  hasQuick?: boolean
}

export async function openDoors(options: DoorWorldOptions): Promise<DoorWorld> {
  const { quotas, adjustments, keys = [], labelColumns = [], wrap = store => store, hasQuick = true } = options
  const readiness = async () => ({ isReady: true, reasons: [] })
  const section = limiterOptions(options.limiter ?? {})
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-doors-'))
  let nowMs = START_MS
  const limits = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
  const store = await openLimitStore(limits, { dir, log: silent, now: () => nowMs })
  const policy = createPolicy(quotas, { ...NO_ADJUSTMENTS, ...adjustments })
  const identity = createIdentity({ fingerprintKeys: ['f'.repeat(32)], keys })
  const limiter = createLimiter({
    policy: () => policy,
    store: wrap(store),
    summing: { count: () => undefined, handOn: async () => undefined, close: async () => undefined },
    asOfMs: () => nowMs,
    nameOf: identity.nameOf,
    onCheck: () => undefined,
    logger: silent,
  })
  const decisionIds = createDecisionIds(['d'.repeat(32)])
  const quotaHeaders = createQuotaHeaders(() => policy, section.legacyHeaders)
  const verify = (token: string) => PRINCIPALS[token] ?? null
  const patterns = createRoutePatterns([])
  const routeOfPath = (path: string) => routeOf(path, '', patterns)
  const door = { limiter, decisionIds, quotaHeaders, routeOf: routeOfPath, labelColumns }
  const grpc = await openGrpc({
    ...door,
    options: section.grpc,
    callers: section.callers,
    identity,
    verify,
    readiness,
    logger: silent,
  })
  const readCaller = createCallerReader(section.callers.forwardAuth, identity)
  const forwarding = { ...door, readCaller, principalOf }
  const checking = { ...door, identity, principalOf }
  const server = await createServer({
    role: 'limiter',
    version: '0.0.0',
    log: silent,
    routes: [createForwardAuthRoutes(forwarding), createCheckRoutes(checking)],
    quick: hasQuick ? [createQuickCheck(checking), ...createQuickForwardAuth(forwarding)] : [],
    verify,
    readiness,
    metrics: async () => '',
    isTracing: false,
  })
  const [port = 0] = await freePorts(1)
  const url = await listen(server, { host: '127.0.0.1', port })
  let isOpen = true
  const stopDoors = async () => {
    if (!isOpen) return
    isOpen = false
    server.server.closeAllConnections()
    await Promise.all([grpc.close(), server.close()])
  }
  return {
    url,
    grpcPort: grpc.port,
    store,
    decisionIds,
    setNow(ms) {
      nowMs = ms
    },
    stopDoors,
    async close() {
      await stopDoors()
      await store.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
