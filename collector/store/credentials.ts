/**
 * The passwords of the embedded store, made by whichever role comes first and kept beside the data. All roles of one
 * data folder read the same file, so a role can start before the store does.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import Value from 'typebox/value'
import { StoreError } from './store-error.ts'

const PASSWORD_BYTES = 24

const StoreCredentials = Type.Object({
  /** May do everything. */
  quotacast: Type.String({ minLength: 1 }),
  /** May read our tables. */
  grafana: Type.String({ minLength: 1 }),
})
/** Passwords by user name. */
export type StoreCredentials = Static<typeof StoreCredentials>

/**
 * Reads `dir/credentials.json`, making it (mode 0600) when there is none; processes that race for it all get the same.
 * Throws `STORE_SCHEMA` when the file holds something else.
 */
export const openCredentials = async (dir: string): Promise<StoreCredentials> => {
  const path = join(dir, 'credentials.json')
  try {
    return parseCredentials(await readFile(path, 'utf8'), path)
  } catch (error) {
    if (!isNodeError(error, 'ENOENT')) throw error
  }
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const made: StoreCredentials = { quotacast: makePassword(), grafana: makePassword() }
  // A link appears whole or not at all, and fails when somebody else was first: nobody reads half a file.
  const draft = `${path}.${randomUUID()}`
  await writeFile(draft, `${JSON.stringify(made)}\n`, { mode: 0o600, flush: true })
  try {
    await link(draft, path)
  } catch (error) {
    if (!isNodeError(error, 'EEXIST')) throw error
  } finally {
    await rm(draft, { force: true })
  }
  return parseCredentials(await readFile(path, 'utf8'), path)
}

const makePassword = () => randomBytes(PASSWORD_BYTES).toString('hex')

const isNodeError = (error: unknown, code: string) =>
  error instanceof Error && (error as NodeJS.ErrnoException).code === code

const parseCredentials = (text: string, path: string): StoreCredentials => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = null
  }
  if (!Value.Check(StoreCredentials, value)) throw new StoreError('STORE_SCHEMA', `${path} holds no credentials`)
  return value
}
