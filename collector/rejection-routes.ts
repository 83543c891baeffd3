/** Rejections over HTTP: each of them, how many there are of which kind, and the replay of those that may be calls now. */
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { requireAllTenants } from './all-tenants.ts'
import { type KeptInput, REJECTION_REASONS } from './call-record.ts'
import { rejectionsReplayed } from './events.ts'
import type { CallLog, LogEntry } from './log/call-log.ts'
import type { PrincipalOf, Routes } from './principal.ts'
import { toEntry } from './receive/accept.ts'
import { type ReplayMeans, replayInput } from './receive/replay.ts'
import type { Store } from './store/open.ts'
import { RejectionCount, readRejectionCounts } from './store/rejection-counts.ts'
import { REJECTIONS_PAGE_MAX, readRejections, StoredRejection } from './store/rejections.ts'
import { markReplayed, readKeptInputs } from './store/replays.ts'

const PAGE = 50
/** Of those that are rejected again. */
const EXAMPLES_MAX = 20

const filter = {
  source: Type.Optional(Type.String({ maxLength: 64, description: 'Only those of this source.' })),
  reason: Type.Optional(Type.Enum(REJECTION_REASONS, { description: 'Only these.' })),
}
const cursor = Type.Optional(Type.String({ maxLength: 1024, description: '`nextCursor` of the page before.' }))
const nextCursor = Type.Union([Type.String(), Type.Null()], { description: 'null on the last page.' })
const limit = (value: number) =>
  Type.Integer({ default: value, minimum: 1, maximum: REJECTIONS_PAGE_MAX, description: 'Most rejections of a page.' })

const FilterQuery = Type.Object(filter, { additionalProperties: false })
const PageQuery = Type.Object({ ...filter, cursor, limit: limit(PAGE) }, { additionalProperties: false })
const Page = Type.Object({ rejections: Type.Array(StoredRejection), nextCursor })
const Counts = Type.Object({ counts: Type.Array(RejectionCount) })

const ReplayQuery = Type.Object(
  {
    ...{ ...filter, cursor, limit: limit(REJECTIONS_PAGE_MAX) },
    dryRun: Type.Boolean({ default: false, description: 'Only says what would become of them.' }),
  },
  { additionalProperties: false },
)

/** What a page of a replay came to. */
export const ReplayAnswer = Type.Object(
  {
    calls: Type.Integer({ description: 'Became calls; one that had arrived otherwise is not counted twice.' }),
    noCalls: Type.Integer({ description: 'Turned out to be none.' }),
    sourcesUnknown: Type.Record(Type.String(), Type.Integer(), {
      description: 'Remain, as their source is neither in the config nor a dialect: how many of each.',
    }),
    rejected: Type.Record(Type.String(), Type.Integer(), { description: 'Rejected again: how many for each reason.' }),
    examples: Type.Array(
      Type.Object({ callId: Type.String(), source: Type.String(), reason: Type.String(), message: Type.String() }),
      { description: 'Some of those that are rejected again.' },
    ),
    nextCursor,
  },
  { $id: 'ReplayAnswer' },
)
export type ReplayAnswer = Static<typeof ReplayAnswer>

const tags = ['calls']

/** The `GET` routes, which other roles may hand on. */
export const REJECTIONS_ROUTE = {
  path: '/v1/rejections',
  schema: {
    summary: 'Calls that could not be normalized',
    description: 'Newest first, as soon as they are stored, for 30 days or until a replay has settled them.',
    ...{ tags, querystring: PageQuery, response: { 200: Page } },
  },
}
export const REJECTION_COUNTS_ROUTE = {
  path: '/v1/rejections/counts',
  schema: {
    summary: 'Rejections by source and reason',
    description: 'Most frequent first, with an example of each.',
    ...{ tags, querystring: FilterQuery, response: { 200: Counts } },
  },
}

export interface RejectionRoutesDeps extends ReplayMeans {
  log: Pick<CallLog, 'append'>
  store: Store
  principalOf: PrincipalOf
  logger: Logger
}

export function createRejectionRoutes(deps: RejectionRoutesDeps): Routes {
  const { store, principalOf } = deps
  return server => {
    server.get<{ Querystring: Static<typeof PageQuery> }>(
      REJECTIONS_ROUTE.path,
      { config: { access: 'read' }, schema: REJECTIONS_ROUTE.schema },
      request => {
        const { source = null, reason = null, cursor = null, limit } = request.query
        return readRejections(store, { tenant: principalOf(request).tenant, source, reason, cursor, limit })
      },
    )
    server.get<{ Querystring: Static<typeof FilterQuery> }>(
      REJECTION_COUNTS_ROUTE.path,
      { config: { access: 'read' }, schema: REJECTION_COUNTS_ROUTE.schema },
      async request => {
        const { source = null, reason = null } = request.query
        return { counts: await readRejectionCounts(store, { tenant: principalOf(request).tenant, source, reason }) }
      },
    )
    server.post<{ Querystring: Static<typeof ReplayQuery> }>(
      '/v1/rejections/replay',
      {
        config: { access: 'admin' },
        schema: {
          summary: 'Decode rejections again',
          description:
            'One page of those whose inputs are whole, oldest first, through the present decoders. Answers when what ' +
            'became of them is durable; asking again, or sending the originals again, counts no call twice.',
          ...{ tags, querystring: ReplayQuery, response: { 200: ReplayAnswer } },
        },
      },
      request => {
        requireAllTenants(principalOf(request))
        return replayPage(request.query, deps)
      },
    )
  }
}

async function replayPage(query: Static<typeof ReplayQuery>, deps: RejectionRoutesDeps): Promise<ReplayAnswer> {
  const { log, store, logger } = deps
  const { source = null, reason = null, cursor = null, limit, dryRun } = query
  const page = await readKeptInputs(store, { tenant: null, source, reason, cursor, limit })
  const { entries, settled, ...answer } = replayAll(page.inputs, deps)
  if (!dryRun) {
    if (entries.length > 0) await log.append('calls', entries)
    await markReplayed(store, settled)
    rejectionsReplayed(logger, answer)
  }
  return { ...answer, nextCursor: page.nextCursor }
}

type Replays = Omit<ReplayAnswer, 'nextCursor'> & {
  /** For the log. */
  entries: LogEntry[]
  /** Ids of those that are no rejections any more once the entries are durable. */
  settled: string[]
}

function replayAll(inputs: readonly KeptInput[], means: ReplayMeans): Replays {
  const replays: Replays = {
    ...{ calls: 0, noCalls: 0, sourcesUnknown: {}, rejected: {}, examples: [], entries: [], settled: [] },
  }
  for (const kept of inputs) {
    const { callId, source } = kept
    const replayed = replayInput(kept, means)
    switch (replayed.kind) {
      case 'call':
        replays.calls++
        replays.entries.push(toEntry(replayed.record))
        replays.settled.push(callId)
        break
      case 'no_call':
        replays.noCalls++
        replays.settled.push(callId)
        break
      case 'source_unknown':
        increment(replays.sourcesUnknown, source)
        break
      case 'rejected': {
        const { reason, message } = replayed
        increment(replays.rejected, reason)
        if (replays.examples.length < EXAMPLES_MAX) replays.examples.push({ callId, source, reason, message })
      }
    }
  }
  return replays
}

function increment(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}
