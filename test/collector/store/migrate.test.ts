import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkEngines, migrate } from '../../../collector/store/migrate.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'

const log = pino({ level: 'silent' })
let opened: TestStore
let schemaDir: string
beforeAll(async () => {
  opened = await openTestStore()
  schemaDir = await mkdtemp(join(tmpdir(), 'quotacast-schema-'))
  await cp(join(import.meta.dirname, '../../../collector/store/schema'), schemaDir, { recursive: true })
})
afterAll(async () => {
  await opened?.close()
  await rm(schemaDir, { recursive: true, force: true })
})

test('a new migration is applied after those that are, and what is no migration is left alone', async () => {
  await writeFile(join(schemaDir, 'README.md'), 'SELECT throwIf(1);')
  await writeFile(
    join(schemaDir, '900-two-statements.sql'),
    `-- A comment; with a semicolon.
CREATE TABLE IF NOT EXISTS later (n UInt64) ENGINE = MergeTree ORDER BY n;
ALTER TABLE later ADD COLUMN IF NOT EXISTS text String DEFAULT 'a;b';
`,
  )
  expect(await migrate(opened.store, { log, schemaDir })).toEqual(['900-two-statements.sql'])
  expect(await migrate(opened.store, { log, schemaDir })).toEqual([])
  await opened.store.client.command({ query: 'INSERT INTO later (n) VALUES (1)' })
  expect(await opened.rows('SELECT * FROM later')).toEqual([{ n: 1, text: 'a;b' }])
})

test('a program that is older than its tables does not touch them', async () => {
  await expect(migrate(opened.store, { log })).rejects.toMatchObject({
    code: 'STORE_SCHEMA',
    message: expect.stringContaining('900-two-statements.sql'),
  })
})

test('a migration that was edited after it was applied is refused', async () => {
  await writeFile(join(schemaDir, '900-two-statements.sql'), 'SELECT 1;')
  await expect(migrate(opened.store, { log, schemaDir })).rejects.toMatchObject({ code: 'STORE_SCHEMA' })
})

test('a server whose tables are replicated is refused, with the reason', () => {
  expect(() => checkEngines(['Atomic', 'MergeTree', 'ReplacingMergeTree'])).not.toThrow()
  for (const engine of ['Replicated', 'ReplicatedMergeTree', 'SharedMergeTree'])
    expect(() => checkEngines(['Atomic', engine])).toThrow(/replicated.*Atomic/)
})
