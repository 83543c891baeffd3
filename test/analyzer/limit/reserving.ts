/** The doors to reservations on a limit store of their own, with a clock that the test moves. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDecisionIds } from '../../../analyzer/limit/decision-id.ts'
import { startDecisionSumming } from '../../../analyzer/limit/decision-summing.ts'
import { openEmbeddedLimits } from '../../../analyzer/limit/embedded.ts'
import { createEstimates } from '../../../analyzer/limit/estimates.ts'
import { createExplainRoutes } from '../../../analyzer/limit/explain.ts'
import type { LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { createLimiter } from '../../../analyzer/limit/limiter.ts'
import { createRecordRoutes } from '../../../analyzer/limit/record.ts'
import { createReservationListRoutes } from '../../../analyzer/limit/reservation-list.ts'
import { createReservationRoutes } from '../../../analyzer/limit/reservation-routes.ts'
import { createReservations } from '../../../analyzer/limit/reservations.ts'
import { type Adjustments, createPolicy } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { createIdentity } from '../../../collector/identity.ts'
import type { DecisionSums } from '../../../collector/log/decision-sums.ts'
import { createServer } from '../../../deploy/http.ts'
import { principalOf } from '../../../deploy/http-access.ts'
import { openLog, silent } from './call-records.ts'

/** Ten minutes into an hour. */
export const START_MS = Date.UTC(2026, 10, 21, 12, 10)

const scopes = new Set(['check', 'read'] as const)
const principals = {
  gateway: { name: 'gateway', scopes, tenant: null },
  acme: { name: 'acme', scopes, tenant: 'acme' },
  other: { name: 'other', scopes, tenant: 'other' },
}
export type Token = keyof typeof principals
const isToken = (token: string): token is Token => token in principals

/** `wrap` stands before the store. */
export async function openReserving(
  quotas: readonly Quota[],
  adjustments?: Adjustments,
  wrap: (store: LimitStore) => LimitStore = store => store,
) {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const clock = { nowMs: START_MS }
  const log = await openLog(join(dir, 'log'))
  const store = wrap(
    await openEmbeddedLimits(
      { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 },
      { dir: join(dir, 'limits'), log: silent, now: () => clock.nowMs },
    ),
  )
  const current = createPolicy(quotas, adjustments)
  const policy = () => current
  const summing = startDecisionSumming({ log, logger: silent })
  const estimates = createEstimates({ quantile: 0.6 })
  const decisionIds = createDecisionIds(['d'.repeat(32)])
  const limiter = createLimiter({
    ...{ policy, store, summing, logger: silent },
    asOfMs: nowMs => nowMs,
    nameOf: String,
    onCheck: () => undefined,
  })
  const reservations = createReservations({ limiter, store, policy, summing, estimates, decisionIds })
  const identity = createIdentity({ fingerprintKeys: ['f'.repeat(32)], keys: [] })
  const asking = { identity, labelColumns: ['team'], routeOf: (path: string) => path, principalOf }
  const server = await createServer({
    role: 'limiter',
    version: '0.0.0',
    log: silent,
    routes: [
      createRecordRoutes({ ...asking, limiter, decisionIds }),
      createReservationRoutes({ ...asking, reservations, decisionIds }),
      createReservationListRoutes({ store, decisionIds, principalOf }),
      createExplainRoutes({ ...asking, limiter, policy, readDecisions: async () => [] }),
    ],
    verify: token => (isToken(token) ? principals[token] : null),
    readiness: async () => ({ isReady: true, reasons: [] }),
    metrics: async () => '',
    isTracing: false,
  })
  const inject = async (method: 'GET' | 'POST', url: string, token: Token, payload?: object) => {
    const authorization = `Bearer ${token}`
    const response = await server.inject({ method, url, headers: { authorization }, ...(payload && { payload }) })
    return { status: response.statusCode, body: response.json() }
  }
  return {
    ...{ clock, store, estimates, decisionIds },
    post: (url: string, payload: object, token: Token = 'gateway') => inject('POST', url, token, payload),
    get: (url: string, token: Token = 'gateway') => inject('GET', url, token),
    /** Listens; answers where. */
    listen: () => server.listen({ host: '127.0.0.1', port: 0 }),
    http: server.server,
    /** What the limiter has told the log of its decisions. */
    async sums(): Promise<DecisionSums[]> {
      await summing.handOn()
      const { entries } = await log.read('decisions', 0, 0, 1_000)
      return entries.map(({ value }) => JSON.parse(value))
    },
    async close() {
      await server.close()
      await summing.close()
      await store.close()
      await log.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
export type Reserving = Awaited<ReturnType<typeof openReserving>>
