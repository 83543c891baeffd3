/**
 * The collector: calls in, log, rows out. Receiving needs nothing but the log; the store may be away, come late or die,
 * and is caught up with. The parts do the work, here they are put together and asked how they are.
 */
import type { FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { REJECTION_REASONS, type RejectionReason } from './call-record.ts'
import type { Identity } from './identity.ts'
import type { CallLog } from './log/call-log.ts'
import { ClientIpPolicy } from './normalize/client-ip.ts'
import type { MappingOptions } from './normalize/mapping.ts'
import { createNormalizer } from './normalize/normalize.ts'
import { createPrices, type PriceEntry } from './prices.ts'
import type { PrincipalOf, Routes } from './principal.ts'
import { createCallRoutes, ReceiveOptions } from './receive/http.ts'
import { StoreAudit } from './store/audit.ts'
import type { Store } from './store/open.ts'
import { REJECTIONS_PAGE_MAX, readRejections, readTotals, StoredRejection } from './store/rejections.ts'
import { startStoring } from './store/storing.ts'

const REJECTIONS_PAGE = 50

/** What the collector's section of the config holds beside its address. */
export const CollectorOptions = Type.Object(
  { clientIp: ClientIpPolicy, ...ReceiveOptions.properties },
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
  /** Labels that are columns of `calls`, at most two. */
  labelColumns: readonly string[]
  principalOf: PrincipalOf
  logger: Logger
  now?: () => number
}

const Reasons = Type.Partial(Type.Object(Object.fromEntries(REJECTION_REASONS.map(reason => [reason, Type.Integer()]))))

const CollectorStatus = Type.Object(
  {
    sinceMs: Type.Integer({ description: 'Start of this process; `received` and `stored` count from then.' }),
    received: Type.Object({
      accepted: Type.Integer({ description: 'Calls that became durable over HTTP.' }),
      rejected: Type.Object(Reasons.properties, { description: 'Calls that could not be normalized, by reason.' }),
    }),
    stored: Type.Object({
      rows: Type.Integer({ description: 'Rows of all tables.' }),
      duplicates: Type.Integer({ description: 'Calls and sums of decisions that came again.' }),
      unreadable: Type.Integer({ description: 'Entries of the log that nobody can read.' }),
    }),
    lag: Type.Array(
      Type.Object({
        topic: Type.String(),
        partition: Type.Integer(),
        entries: Type.Integer({ description: 'Durable, and not yet stored.' }),
        ageMs: Type.Number({ description: 'Age of the oldest of them.' }),
      }),
    ),
    dataAgeMs: Type.Number({
      description: 'Age of the oldest accepted call that is not yet stored; 0 when there is none.',
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
  /** Why calls cannot be accepted, or are accepted and not stored; empty when all is well. */
  readiness(): Promise<string[]>
  status(): Promise<CollectorStatus>
  /** Stops storing between two batches. Requests must have ended before. */
  close(): Promise<void>
}

/** Resolves at once, whether or not the store is there. Throws `MappingError` when a mapping makes no sense. */
export async function openCollector(deps: CollectorDeps): Promise<Collector> {
  const { options, log, store, logger, principalOf, now = Date.now } = deps
  const normalizer = createNormalizer({
    identity: deps.identity,
    prices: createPrices(deps.prices),
    clientIp: options.clientIp,
    mappings: deps.mappings,
  })
  const storing = startStoring({ log, store, logger, labelColumns: deps.labelColumns, now })
  const received = createReceived()
  const sinceMs = now()

  const status = async (): Promise<CollectorStatus> => {
    const lag = await storing.lag()
    const { rows, duplicates, unreadable } = storing.counts()
    const calls = lag.filter(({ topic }) => topic === 'calls')
    const lastAudit = storing.lastAudit()
    return {
      sinceMs,
      received: received.counts(),
      stored: { rows, duplicates, unreadable },
      lag,
      dataAgeMs: Math.max(0, ...calls.map(({ ageMs }) => ageMs)),
      totals: await readTotals(store).catch(() => null),
      lastAudit: lastAudit === null ? null : { atMs: lastAudit.atMs, differences: differencesOf(lastAudit) },
    }
  }

  return {
    routes: [
      createCallRoutes({
        log,
        normalizer,
        principalOf,
        limits: options,
        logger: logger.child({ part: 'receive' }),
        now,
        onReceived: received.add,
      }),
      createQueryRoutes({ store, principalOf, status, audit: storing.audit }),
    ],
    readiness: async () => [...[log.unavailable() ?? []].flat(), ...storing.readiness()],
    status,
    close: () => storing.close(),
  }
}

const differencesOf = ({ counts }: StoreAudit) => Object.values(counts).reduce((sum, count) => sum + count, 0)

/** What came over HTTP since the start. */
function createReceived() {
  let accepted = 0
  const rejected: Partial<Record<RejectionReason, number>> = {}
  return {
    add(more: number, reasons: ReadonlyMap<RejectionReason, number>): void {
      accepted += more
      for (const [reason, count] of reasons) rejected[reason] = (rejected[reason] ?? 0) + count
    },
    counts: () => ({ accepted, rejected: { ...rejected } }),
  }
}

/** The caller may see only one tenant, and this concerns all of them. */
class TenantError extends Error {
  readonly statusCode = 403
  readonly code = 'TENANT_FORBIDDEN'

  constructor() {
    super('This concerns all tenants, the token only one.')
    this.name = 'TenantError'
  }
}

const RejectionsQuery = Type.Object(
  {
    reason: Type.Optional(Type.Enum(REJECTION_REASONS, { description: 'Only these.' })),
    cursor: Type.Optional(Type.String({ maxLength: 1024, description: '`nextCursor` of the page before.' })),
    limit: Type.Integer({
      default: REJECTIONS_PAGE,
      minimum: 1,
      maximum: REJECTIONS_PAGE_MAX,
      description: 'Most rejections of a page.',
    }),
  },
  { additionalProperties: false },
)
const RejectionsAnswer = Type.Object({
  rejections: Type.Array(StoredRejection),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
})

interface QueryDeps {
  store: Store
  principalOf: PrincipalOf
  status: () => Promise<CollectorStatus>
  audit: () => Promise<StoreAudit>
}

function createQueryRoutes({ store, principalOf, status, audit }: QueryDeps): Routes {
  const tags = ['itself']
  const forAllTenants = (request: FastifyRequest) => {
    if (principalOf(request).tenant !== null) throw new TenantError()
  }
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
        forAllTenants(request)
        return status()
      },
    )
    server.get<{ Querystring: Static<typeof RejectionsQuery> }>(
      '/v1/rejections',
      {
        config: { access: 'read' },
        schema: {
          summary: 'Calls that could not be normalized',
          description: 'Newest first, as soon as they are stored, for 30 days.',
          tags: ['calls'],
          querystring: RejectionsQuery,
          response: { 200: RejectionsAnswer },
        },
      },
      request => {
        const { reason = null, cursor = null, limit } = request.query
        return readRejections(store, { tenant: principalOf(request).tenant, reason, cursor, limit })
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
        forAllTenants(request)
        return audit()
      },
    )
  }
}
