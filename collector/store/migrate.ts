/**
 * Brings the tables up to date: the files of `schema/` in the order of their numbers, each recorded when it is done.
 * ClickHouse has no transactions over DDL, so every statement may run twice (`IF NOT EXISTS`): then neither two roles
 * that start together nor a crash between a statement and its record do harm.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Store } from './open.ts'
import { StoreError } from './store-error.ts'

/** The oldest ClickHouse that has all we use (`deduplicate_insert`), and the one that the tests run. */
const STORE_VERSION_MIN = '26.7'

const MIGRATION_NAME = /^\d{3}-[a-z0-9-]+\.sql$/
/** Two roles that create the same table at once: one of them may be told so, and looks again. */
const STATEMENT_TRIES_MAX = 5
const STATEMENT_RETRY_MS = 200

interface Migration {
  name: string
  sha256: string
  statements: string[]
}

/**
 * Answers the names of the migrations that were applied now. Throws `STORE_UNSUPPORTED` when the server is too old
 * or replicates, `STORE_SCHEMA` when the tables were made by a newer version or a shipped migration was edited, and what the client
 * throws when the store is away.
 */
export const migrate = async (store: Store, deps: { log: Logger; schemaDir?: string }): Promise<string[]> => {
  await store.createDatabase()
  await checkServer(store)
  await store.client.command({
    query: `CREATE TABLE IF NOT EXISTS schema_migrations
      (name String, sha256 String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
      ENGINE = ReplacingMergeTree ORDER BY name`,
  })
  const migrations = await readMigrations(deps.schemaDir ?? join(import.meta.dirname, 'schema'))
  const done = await readDone(store)
  const applied: string[] = []
  for (const migration of migrations) {
    const sha256 = done.get(migration.name)
    done.delete(migration.name)
    if (sha256 === migration.sha256) continue
    if (sha256 !== undefined) throw new StoreError('STORE_SCHEMA', `${migration.name} was edited after it was applied`)
    for (const statement of migration.statements) await runStatement(store, statement)
    await store.client.insert({
      table: 'schema_migrations',
      values: [{ name: migration.name, sha256: migration.sha256 }],
      format: 'JSONEachRow',
      columns: ['name', 'sha256'],
    })
    applied.push(migration.name)
  }
  if (done.size > 0) {
    throw new StoreError('STORE_SCHEMA', `the tables were made by a newer version: ${[...done.keys()].join(', ')}`)
  }
  if (applied.length > 0) deps.log.info({ applied }, 'store migrated')
  return applied
}

const checkServer = async (store: Store): Promise<void> => {
  const [version = ''] = await readColumn(store, 'SELECT version() AS value')
  checkVersion(version)
  const engines = await readColumn(
    store,
    `SELECT engine AS value FROM system.databases WHERE name = currentDatabase()
     UNION ALL SELECT engine FROM system.tables WHERE database = currentDatabase()`,
  )
  checkEngines(engines)
}

const checkVersion = (version: string): void => {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [majorMin = 0, minorMin = 0] = STORE_VERSION_MIN.split('.').map(Number)
  if (major < majorMin || (major === majorMin && minor < minorMin)) {
    throw new StoreError(
      'STORE_UNSUPPORTED',
      `ClickHouse ${version} is too old: ${STORE_VERSION_MIN} is the oldest that works`,
    )
  }
}

/**
 * The writer reads back what is stored, and its fence is a row: on another replica than the one that acknowledged, both
 * could still be missing, and a call would be lost or stored twice. Throws `STORE_UNSUPPORTED`.
 */
export const checkEngines = (engines: readonly string[]): void => {
  const replicated = engines.find(engine => /^(Replicated|Shared)/.test(engine))
  if (replicated === undefined) return
  throw new StoreError(
    'STORE_UNSUPPORTED',
    `${replicated} is replicated, and what one replica has acknowledged another may not have yet: ` +
      'give Quotacast a database of the engine Atomic, on one server',
  )
}

const readMigrations = async (schemaDir: string): Promise<Migration[]> => {
  const names = (await readdir(schemaDir)).filter(name => MIGRATION_NAME.test(name)).sort()
  return Promise.all(
    names.map(async name => {
      const text = await readFile(join(schemaDir, name), 'utf8')
      return { name, sha256: createHash('sha256').update(text).digest('hex'), statements: toStatements(text) }
    }),
  )
}

/** A statement ends with a semicolon at the end of a line. */
const toStatements = (text: string): string[] =>
  text
    .split(/;[ \t]*$/m)
    .map(statement => statement.trim())
    .filter(statement => statement !== '')

const readDone = async (store: Store): Promise<Map<string, string>> => {
  const result = await store.client.query({
    query: 'SELECT name, sha256 FROM schema_migrations FINAL',
    format: 'JSONEachRow',
  })
  return new Map((await result.json<{ name: string; sha256: string }>()).map(row => [row.name, row.sha256]))
}

const runStatement = async (store: Store, query: string): Promise<void> => {
  for (let tries = 1; ; tries++) {
    try {
      await store.client.command({ query })
      return
    } catch (error) {
      if (tries === STATEMENT_TRIES_MAX) throw error
      await sleep(STATEMENT_RETRY_MS * tries)
    }
  }
}

const readColumn = async (store: Store, query: string): Promise<string[]> => {
  const result = await store.client.query({ query, format: 'JSONEachRow' })
  return (await result.json<{ value: string }>()).map(row => row.value)
}
