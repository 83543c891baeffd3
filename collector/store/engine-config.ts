/** What the embedded engine is told at its start: two XML files, as ClickHouse wants them. */
import { createHash } from 'node:crypto'
import type { StoreCredentials } from './credentials.ts'
import { STORE_DATABASE } from './tables.ts'

/** Share of the engine's memory that one query may take. */
const QUERY_MEMORY_SHARE = 0.6
const MARK_CACHE_BYTES = 128 * 2 ** 20
const MERGE_THREADS = 2
const QUERIES_MAX = 64
const KEEP_ALIVE_SECONDS = 30
/** A sender that stalls for longer has lost its insert; until then, whoever takes its place must wait for it. */
const RECEIVE_SECONDS_MAX = 8
const GRAFANA_QUERY_SECONDS_MAX = 30
const LOG_FILE_BYTES_MAX = 10 * 2 ** 20

export interface EngineOptions {
  host: string
  memoryBytesMax: number
}

/** `config.xml`: limits, where the engine's own log is, and where the users are. */
export const toServerXml = (
  options: EngineOptions,
  paths: { usersFile: string; logFile: string },
): string => `<clickhouse>
  <logger>
    <log>${escapeXml(paths.logFile)}</log>
    <size>${LOG_FILE_BYTES_MAX}</size>
    <count>2</count>
    <console>0</console>
  </logger>
  <users_config>${escapeXml(paths.usersFile)}</users_config>
  <max_server_memory_usage>${options.memoryBytesMax}</max_server_memory_usage>
  <mark_cache_size>${MARK_CACHE_BYTES}</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>${MERGE_THREADS}</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <max_concurrent_queries>${QUERIES_MAX}</max_concurrent_queries>
  <keep_alive_timeout>${KEEP_ALIVE_SECONDS}</keep_alive_timeout>
</clickhouse>
`

/**
 * `users.xml`: `quotacast` may do everything, `grafana` may read our tables. `default` has no password, because the
 * engine's start query runs as it: it may do nothing but open the listener, and the start query is its only session.
 */
export const toUsersXml = (options: EngineOptions, credentials: StoreCredentials): string => `<clickhouse>
  <profiles>
    <default>
      <max_memory_usage>${Math.floor(options.memoryBytesMax * QUERY_MEMORY_SHARE)}</max_memory_usage>
      <async_insert>0</async_insert>
      <http_receive_timeout>${RECEIVE_SECONDS_MAX}</http_receive_timeout>
    </default>
    <start>
      <max_sessions_for_user>1</max_sessions_for_user>
      <max_concurrent_queries_for_user>1</max_concurrent_queries_for_user>
    </start>
    <reading>
      <readonly>2</readonly>
      <max_execution_time>${GRAFANA_QUERY_SECONDS_MAX}</max_execution_time>
    </reading>
  </profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <no_password/>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>start</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
        <query>GRANT READ ON FILE</query>
      </grants>
    </default>
    <quotacast>
      ${toPasswordXml(credentials.quotacast)}
      ${toNetworksXml(options.host)}
      <profile>default</profile>
      <quota>default</quota>
    </quotacast>
    <grafana>
      ${toPasswordXml(credentials.grafana)}
      ${toNetworksXml(options.host)}
      <profile>reading</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SELECT ON ${STORE_DATABASE}.*</query>
        <query>GRANT SELECT ON system.databases</query>
        <query>GRANT SELECT ON system.tables</query>
        <query>GRANT SELECT ON system.columns</query>
      </grants>
    </grafana>
  </users>
</clickhouse>
`

const toPasswordXml = (password: string) =>
  `<password_sha256_hex>${createHash('sha256').update(password).digest('hex')}</password_sha256_hex>`

const toNetworksXml = (host: string) =>
  `<networks>${isLoopback(host) ? '<ip>127.0.0.1</ip><ip>::1</ip>' : '<ip>::/0</ip>'}</networks>`

const isLoopback = (host: string) => host.startsWith('127.') || host === '::1' || host === 'localhost'

const escapeXml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
