/** A store of one's own for a test: a real engine in a temporary folder, on a free port, migrated. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { type EmbeddedStore, startEmbeddedStore } from '../collector/store/embedded.ts'
import { migrate } from '../collector/store/migrate.ts'
import { type EmbeddedStoreOptions, openStore, type Store } from '../collector/store/open.ts'
import { freePorts } from './free-ports.ts'

const MEMORY_BYTES_MAX = 2 * 2 ** 30

export interface TestStore {
  store: Store
  engine: EmbeddedStore
  options: EmbeddedStoreOptions
  /** Folder of the engine, its credentials and its lock. */
  dir: string
  /** Runs a query and answers its rows. */
  rows<T = Record<string, unknown>>(query: string, params?: Record<string, unknown>): Promise<T[]>
  /** Stops the engine and removes the folder. */
  close(): Promise<void>
}

/** Starts an engine (about a second), applies the migrations, and answers a client for it. */
export const openTestStore = async (): Promise<TestStore> => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-store-'))
  const log = pino({ level: 'silent' })
  const [port = 0] = await freePorts(1)
  const options: EmbeddedStoreOptions = { kind: 'embedded', host: '127.0.0.1', port, memoryBytesMax: MEMORY_BYTES_MAX }
  const engine = await startEmbeddedStore(options, { dir, log })
  const store = await openStore(options, { dir, log })
  await migrate(store, { log })
  return {
    store,
    engine,
    options,
    dir,
    rows: async <T>(query: string, params: Record<string, unknown> = {}) => {
      const result = await store.client.query({ query, query_params: params, format: 'JSONEachRow' })
      return (await result.json()) as T[]
    },
    close: async () => {
      await store.close()
      await engine.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
