/** The store as every role sees it: a ClickHouse that is spoken to over HTTP, wherever it runs. */
import { Agent } from 'node:https'
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { readTls, type TlsMaterial } from '../tls.ts'
import { ClickHouseStoreOptions } from './clickhouse-options.ts'
import { openCredentials } from './credentials.ts'
import { STORE_DATABASE } from './tables.ts'

const REQUEST_MS_MAX = 120_000
const CONNECTIONS_MAX = 16
const PING_MS_MAX = 2_000

export const EmbeddedStoreOptions = Type.Object(
  {
    kind: Type.Literal('embedded', {
      description: 'The ClickHouse engine in a child process of the store role, its data under `dataDir`.',
    }),
    host: Type.String({
      default: '127.0.0.1',
      minLength: 1,
      description: "Address at which the engine serves ClickHouse's HTTP interface.",
    }),
    port: Type.Integer({ default: 7410, minimum: 1, maximum: 65_535, description: 'Port of that interface.' }),
    memoryBytesMax: Type.Integer({
      default: 2 * 2 ** 30,
      minimum: 512 * 2 ** 20,
      description: 'Memory that the engine may take; a query that would need more fails.',
    }),
  },
  { additionalProperties: false },
)
export type EmbeddedStoreOptions = Static<typeof EmbeddedStoreOptions>

export const StoreOptions = Type.Union([EmbeddedStoreOptions, ClickHouseStoreOptions])
export type StoreOptions = Static<typeof StoreOptions>

export interface Store {
  /** Its queries run in our database; 64-bit integers come as JSON numbers, inserts are synchronous. */
  client: ClickHouseClient
  url: string
  database: string
  /** Why the store does not answer now, or `null`. Never throws. */
  ping(): Promise<string | null>
  /** Makes our database when there is none; until then every query of `client` fails. */
  createDatabase(): Promise<void>
  close(): Promise<void>
}

/**
 * Connects lazily: resolves whether or not the store runs yet, so that a role can start first. `deps.dir` is the folder
 * of the embedded store. Throws `TlsError` when a file of `tls` cannot be used.
 */
export const openStore = async (options: StoreOptions, deps: { dir: string; log: Logger }): Promise<Store> => {
  const { url, database, tls, ...access } = await accessOf(options, deps.dir)
  const connect = (toDatabase: string) =>
    createClient({
      ...access,
      ...(tls === undefined ? {} : overTls(tls, access.username)),
      url,
      database: toDatabase,
      application: 'quotacast',
      request_timeout: REQUEST_MS_MAX,
      max_open_connections: CONNECTIONS_MAX,
      // Failures reach the caller, who logs them once.
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: {
        async_insert: 0,
        output_format_json_quote_64bit_integers: 0,
        date_time_input_format: 'best_effort',
      },
    })
  const client = connect(database)
  return {
    client,
    url,
    database,
    ping: async () => {
      const result = await client.ping({ select: true, abort_signal: AbortSignal.timeout(PING_MS_MAX) })
      return result.success ? null : `the store at ${url} does not answer: ${result.error.message}`
    },
    createDatabase: async () => {
      // The one database that every server has and every user may see.
      const anywhere = connect('system')
      try {
        const found = await anywhere.query({
          query: 'SELECT name FROM databases WHERE name = {database:String}',
          query_params: { database },
          format: 'JSONEachRow',
        })
        // A user who may not make databases can be given one.
        if ((await found.json()).length === 0)
          await anywhere.command({ query: `CREATE DATABASE IF NOT EXISTS ${database}` })
      } finally {
        await anywhere.close()
      }
    },
    close: () => client.close(),
  }
}

/** Where the embedded store's HTTP interface is. */
export const storeUrl = (options: Pick<EmbeddedStoreOptions, 'host' | 'port'>): string =>
  `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`

/** What the client has to know of a store to be let in. */
const accessOf = async (options: StoreOptions, dir: string) => {
  switch (options.kind) {
    case 'embedded': {
      const { quotacast: password } = await openCredentials(dir)
      return { url: storeUrl(options), username: 'quotacast', password, database: STORE_DATABASE, tls: undefined }
    }
    case 'clickhouse': {
      const { url, username, password, database, tls } = options
      return { url, username, password, database, tls: tls && (await readTls(tls, 'store.tls')) }
    }
  }
}

/** The client's own TLS options demand authorities and know no name of the server. */
function overTls(tls: TlsMaterial, username: string) {
  const http_agent = new Agent({ ...tls, keepAlive: true, maxSockets: CONNECTIONS_MAX })
  if (tls.cert === undefined) return { http_agent }
  const http_headers = { 'X-ClickHouse-User': username, 'X-ClickHouse-SSL-Certificate-Auth': 'on' }
  return { http_agent, http_headers, set_basic_auth_header: false }
}
