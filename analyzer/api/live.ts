/**
 * `GET /v1/live`: what changes, as server-sent events, so that nobody has to ask every second. Each event carries the
 * present state, never a difference: a client that missed some has lost nothing.
 */
import type { ServerResponse } from 'node:http'
import type { ClickHouseClient } from '@clickhouse/client'
import Type from 'typebox'
import type { MayStay, PrincipalOf, Routes } from '../../collector/principal.ts'
import type { Snapshot } from '../tick/ticker.ts'
import { countDenials, type Denials, readDenials } from '../usage/denials.ts'
import type { DenialAnswer } from './denials.ts'
import { dataAgeMs } from './forecast-schema.ts'

const CLIENTS_MAX = 200
/** What a client has not taken by then is too much to wait for: it may come again. */
const UNREAD_BYTES_MAX = 256 * 1024
const HEARTBEAT_MS = 15_000
/** No stream lasts longer: what was lost on the way does not stay lost. */
const STREAM_MS_MAX = 5 * 60_000
const RETRY_MS = 2_000
/** Denials that are told. */
const RECENT_MS = 15 * 60_000
const ROWS_MAX = 2_000
const ROWS_PER_TENANT_MAX = 50

/** After each tick, and where none ends, as often as the heart beats. */
export interface TickEvent {
  asOfMs: number | null
  dataAgeMs: number | null
  /** Why the last tick was not done, or `null`. */
  skipped: string | null
}

/** When they change: those of the last quarter of an hour, the newest first. */
export interface DenialsEvent {
  /** Checks, also those that are not told one by one; of a check that several quotas denied one for each. */
  denied: number
  denials: DenialAnswer[]
}

/** Too many are connected. */
class LiveError extends Error {
  readonly statusCode = 503
  readonly code = 'TOO_MANY_CLIENTS'
}

export interface LiveDeps {
  client: ClickHouseClient
  snapshot: () => Snapshot
  principalOf: PrincipalOf
  mayStay: MayStay
  now: () => number
}

export interface Live {
  routes: Routes
  /** Tells everybody what there is now. Never rejects: what the store does not answer is told another time. */
  publish(): Promise<void>
  /** Ends every stream; clients come again by themselves. */
  close(): void
}

interface Client {
  response: ServerResponse
  /** The only tenant that it may see, or `null`. */
  tenant: string | null
  mayStay(): boolean
  /** The last events of each name, to tell only what is new. */
  told: Map<string, string>
  timers: NodeJS.Timeout[]
}

export function createLive({ client: store, snapshot, principalOf, mayStay, now }: LiveDeps): Live {
  const clients = new Set<Client>()
  let denials: Denials[] = []
  let counts: ReadonlyMap<string, number> = new Map()
  const end = (client: Client) => {
    clients.delete(client)
    client.timers.forEach(clearInterval)
    client.response.end()
  }
  const tellAll = (client: Client) => {
    if (!client.mayStay()) return end(client)
    const { asOfMs, skipped } = snapshot()
    tell(client, 'tick', { asOfMs, skipped, dataAgeMs: dataAgeMs(snapshot(), now()) } satisfies TickEvent)
    tell(client, 'denials', visibleTo(client.tenant, denials, counts))
    if (client.response.writableLength > UNREAD_BYTES_MAX) client.response.destroy()
  }
  const open = (response: ServerResponse, who: Pick<Client, 'tenant' | 'mayStay'>) => {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    response.write(`retry: ${RETRY_MS}\n\n`)
    const client: Client = { response, ...who, told: new Map(), timers: [] }
    const beat = () => {
      client.told.delete('tick')
      tellAll(client)
    }
    client.timers.push(setInterval(beat, HEARTBEAT_MS))
    client.timers.push(setTimeout(() => end(client), STREAM_MS_MAX))
    clients.add(client)
    response.once('close', () => end(client))
    tellAll(client)
  }
  const publish = async () => {
    if (clients.size === 0) {
      denials = []
      counts = new Map()
      return
    }
    const fromMs = now() - RECENT_MS
    const limits = { rowsMax: ROWS_MAX, rowsPerTenantMax: ROWS_PER_TENANT_MAX }
    const ask = { fromMs, quota: null, tenant: null, consumer: null, ...limits }
    const read = Promise.all([readDenials(store, ask), countDenials(store, fromMs)])
    ;[denials, counts] = await read.catch(() => [denials, counts] as const)
    clients.forEach(tellAll)
  }
  const close = () => clients.forEach(end)
  return {
    publish,
    close,
    routes: server => {
      // Streams have no end that a server which closes could wait for.
      server.addHook('preClose', done => {
        close()
        done()
      })
      server.get('/v1/live', { schema, config: { access: 'read' }, exposeHeadRoute: false }, (request, reply) => {
        if (clients.size >= CLIENTS_MAX) throw new LiveError(`${CLIENTS_MAX} clients are connected already`)
        reply.hijack()
        open(reply.raw, { tenant: principalOf(request).tenant, mayStay: () => mayStay(request) })
        // While nobody listened nobody looked; for further clients the next tick is soon enough.
        if (clients.size === 1) void publish()
      })
    },
  }
}

const schema = {
  summary: 'What changes, as it changes',
  description:
    'Server-sent events: `tick` after each tick and every 15 s (`asOfMs`, `dataAgeMs`, `skipped`), `denials` when the denials of the ' +
    `last quarter of an hour have changed, as \`GET /v1/denials\` has them (of one tenant the newest ${ROWS_PER_TENANT_MAX}), and how many there ` +
    'are in all (`denied`). A stream ends after five minutes: connect again.',
  tags: ['status'],
  response: { 200: { description: 'Events.', content: { 'text/event-stream': { schema: Type.String() } } } },
}

/** A quota whose subjects are nobody's is seen by those who see all. */
const visibleTo = (
  tenant: string | null,
  denials: readonly Denials[],
  counts: ReadonlyMap<string, number>,
): DenialsEvent => ({
  denied: tenant === null ? [...counts.values()].reduce((sum, count) => sum + count, 0) : (counts.get(tenant) ?? 0),
  denials: denials.filter(one => tenant === null || one.tenant === tenant).map(({ tenant: _tenant, ...one }) => one),
})

function tell({ response, told }: Client, name: string, event: object): void {
  const text = JSON.stringify(event)
  if (told.get(name) === text) return
  told.set(name, text)
  response.write(`event: ${name}\ndata: ${text}\n\n`)
}
