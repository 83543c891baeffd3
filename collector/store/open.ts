/** The store as every role sees it: a ClickHouse that is spoken to over HTTP, wherever it runs. */
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { openCredentials } from './credentials.ts'
import { STORE_DATABASE } from './tables.ts'

const REQUEST_MS_MAX = 120_000
const CONNECTIONS_MAX = 16
const PING_MS_MAX = 2_000

export const StoreOptions = Type.Object(
  {
    kind: Type.Literal('embedded', {
      default: 'embedded',
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
 * of the embedded store.
 */
export const openStore = async (options: StoreOptions, deps: { dir: string; log: Logger }): Promise<Store> => {
  const url = storeUrl(options)
  const { quotacast: password } = await openCredentials(deps.dir)
  const connect = (database: string) =>
    createClient({
      url,
      username: 'quotacast',
      password,
      database,
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
  const client = connect(STORE_DATABASE)
  return {
    client,
    url,
    database: STORE_DATABASE,
    ping: async () => {
      const result = await client.ping({ select: true, abort_signal: AbortSignal.timeout(PING_MS_MAX) })
      return result.success ? null : `the store at ${url} does not answer: ${result.error.message}`
    },
    createDatabase: async () => {
      const anywhere = connect('default')
      try {
        await anywhere.command({ query: `CREATE DATABASE IF NOT EXISTS ${STORE_DATABASE}` })
      } finally {
        await anywhere.close()
      }
    },
    close: () => client.close(),
  }
}

/** Where the store's HTTP interface is. */
export const storeUrl = (options: StoreOptions): string =>
  `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`
