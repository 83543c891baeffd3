/**
 * The collector: calls in, log, rows out. Receiving needs nothing but the log; the store may be away, come late or die,
 * and is caught up with. The parts do the work, here they are put together and asked how they are.
 */
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { requireAllTenants } from './all-tenants.ts'
import { REJECTION_REASONS } from './call-record.ts'
import { lagObserved } from './events.ts'
import type { Identity } from './identity.ts'
import type { CallLog } from './log/call-log.ts'
import { ClientIpPolicy } from './normalize/client-ip.ts'
import type { MappingOptions } from './normalize/mapping.ts'
import { createNormalizer } from './normalize/normalize.ts'
import { RoutePatternOptions } from './normalize/route-patterns.ts'
import { createPrices, type PriceEntry } from './prices.ts'
import type { BeginCall, Principal, PrincipalOf, Readiness, Routes } from './principal.ts'
import { openReceiving, ReceivingOptions } from './receive/receiving.ts'
import { createSources, type SourceOptions } from './receive/sources.ts'
import { createRejectionRoutes } from './rejection-routes.ts'
import { StoreAudit } from './store/audit.ts'
import type { Store } from './store/open.ts'
import { readTotals } from './store/rejections.ts'
import { startStoring } from './store/storing.ts'

/** What the collector's section of the config holds beside its address. */
export const CollectorOptions = Type.Object(
  { clientIp: ClientIpPolicy, routes: RoutePatternOptions, ...ReceivingOptions.properties },
  { additionalProperties: false },
)
export type CollectorOptions = Static<typeof CollectorOptions>

export interface CollectorDeps {
  options: CollectorOptions
  log: CallLog
  store: Store
  identity: Identity
  prices: readonly PriceEntry[]
  mappings: MappingOptions
  sources: SourceOptions
  /** Labels that are columns of `calls`, at most two. */
  labelColumns: readonly string[]
  /** `store.auditRetentionSeconds` */
  auditRetentionSeconds: number
  principalOf: PrincipalOf
  /** Folder of what is remembered of files that are followed. */
  dir: string
  /** Whose token it is, or `null`: gRPC has no server of the deployment around it. */
  verify: (token: string) => Principal | null
  /** Left out where nobody measures calls. */
  beginCall?: BeginCall | undefined
  logger: Logger
  now?: () => number
}

const Reasons = Type.Partial(Type.Object(Object.fromEntries(REJECTION_REASONS.map(reason => [reason, Type.Integer()]))))

const Lag = Type.Object({
  topic: Type.String(),
  partition: Type.Integer(),
  entries: Type.Integer({ description: 'Durable, and not yet stored.' }),
  ageMs: Type.Number({ description: 'Age of the oldest of them.' }),
})

const CollectorStatus = Type.Object(
  {
    sinceMs: Type.Integer({ description: 'Start of this process; `received` and `stored` count from then.' }),
    received: Type.Object({
      accepted: Type.Integer({ description: 'Calls that became durable, whatever way they came.' }),
      rejected: Type.Object(Reasons.properties, { description: 'Calls that could not be normalized, by reason.' }),
    }),
    stored: Type.Object({
      rows: Type.Integer({ description: 'Rows of all tables.' }),
      duplicates: Type.Integer({ description: 'Calls and sums of decisions that came again.' }),
      unreadable: Type.Integer({ description: 'Entries of the log that nobody can read.' }),
    }),
    lag: Type.Union([Type.Array(Lag), Type.Null()], { description: 'null while the log is away.' }),
    dataAgeMs: Type.Union([Type.Number(), Type.Null()], {
      description:
        'Age of the oldest accepted call that is not yet stored; 0 when there is none, null while the log is away.',
    }),
    totals: Type.Union(
      [
        Type.Object({
          calls: Type.Integer(),
          rejections: Type.Record(Type.String(), Type.Integer()),
        }),
        Type.Null(),
      ],
      { description: 'What the store holds, imports included; null while it is away.' },
    ),
    lastAudit: Type.Union([Type.Object({ atMs: Type.Integer(), differences: Type.Integer() }), Type.Null()], {
      description: 'Last comparison of log and store.',
    }),
  },
  { $id: 'CollectorStatus' },
)
type CollectorStatus = Static<typeof CollectorStatus>

export interface Collector {
  routes: Routes[]
  /** Ready while calls are accepted. The reasons also say why some are not received, or not stored. */
  readiness(): Promise<Readiness>
  status(): Promise<CollectorStatus>
  /** Stops what brings calls by itself, and storing between two batches. Requests must have ended before. */
  close(): Promise<void>
}

/** Resolves at once, whether or not the store is there. Throws `MappingError` when a mapping makes no sense. */
export async function openCollector(deps: CollectorDeps): Promise<Collector> {
  const { options, log, store, logger, principalOf, verify, now = Date.now } = deps
  const normalizer = createNormalizer({
    identity: deps.identity,
    prices: createPrices(deps.prices),
    clientIp: options.clientIp,
    mappings: deps.mappings,
    routes: options.routes,
  })
  const sources = createSources(deps.sources, deps.mappings)
  const { labelColumns, auditRetentionSeconds } = deps
  const storing = startStoring({ log, store, logger, labelColumns, auditRetentionSeconds, now })
  const stopObserving = lagObserved(storing.lag)
  const receiving = openReceiving({
    ...{ options, log, normalizer, sources, principalOf, verify, now, dir: deps.dir, beginCall: deps.beginCall },
    logger: logger.child({ part: 'receive' }),
  })
  const sinceMs = now()

  const status = async (): Promise<CollectorStatus> => {
    // What is away is told by the readiness; the rest can be told all the same.
    const lag = await storing.lag().catch(() => null)
    const { rows, duplicates, unreadable } = storing.counts()
    const calls = lag?.filter(({ topic }) => topic === 'calls')
    const lastAudit = storing.lastAudit()
    return {
      sinceMs,
      received: receiving.intake.received(),
      stored: { rows, duplicates, unreadable },
      lag,
      dataAgeMs: calls === undefined ? null : Math.max(0, ...calls.map(({ ageMs }) => ageMs)),
      totals: await readTotals(store).catch(() => null),
      lastAudit: lastAudit === null ? null : { atMs: lastAudit.atMs, differences: differencesOf(lastAudit) },
    }
  }

  return {
    routes: [
      ...receiving.routes,
      createRejectionRoutes({ log, store, normalizer, sources, principalOf, logger, now }),
      createQueryRoutes({ principalOf, status, audit: storing.audit }),
    ],
    readiness: async () => {
      const reasons = [...[log.unavailable() ?? []].flat(), ...receiving.readiness(), ...storing.readiness()]
      return { isReady: log.unavailable('calls') === null, reasons }
    },
    status,
    async close() {
      await receiving.close()
      stopObserving()
      await storing.close()
    },
  }
}

const differencesOf = ({ counts }: StoreAudit) => Object.values(counts).reduce((sum, count) => sum + count, 0)

interface QueryDeps {
  principalOf: PrincipalOf
  status: () => Promise<CollectorStatus>
  audit: () => Promise<StoreAudit>
}

function createQueryRoutes({ principalOf, status, audit }: QueryDeps): Routes {
  const tags = ['itself']
  return server => {
    server.get(
      '/v1/status',
      {
        config: { access: 'read' },
        schema: {
          summary: 'How the collector is',
          description: 'Records in and out, lag, age of the data.',
          tags,
          response: { 200: CollectorStatus },
        },
      },
      request => {
        requireAllTenants(principalOf(request))
        return status()
      },
    )
    server.get(
      '/v1/store-audit',
      {
        config: { access: 'admin' },
        schema: {
          summary: 'Compare log and store',
          description: 'Looks for calls that are lost, doubled or misplaced, and for projections that disagree.',
          tags,
          response: { 200: StoreAudit },
        },
      },
      request => {
        requireAllTenants(principalOf(request))
        return audit()
      },
    )
  }
}
