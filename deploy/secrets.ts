/** Secrets that this machine makes for itself at first start: the keys of fingerprints and decision ids, and the admin token. */
import { randomBytes } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import Value from 'typebox/value'

const KEY_BYTES = 32
const TOKEN_BYTES = 24
const FILE_MODE = 0o600
const DIR_MODE = 0o700

const SecretsFile = Type.Object({
  fingerprintKeys: Type.Array(Type.String({ minLength: 32 }), { minItems: 1 }),
  decisionKeys: Type.Array(Type.String({ minLength: 32 }), { minItems: 1 }),
})

/** Newest first: the first key writes, all of them read. */
export type Secrets = Static<typeof SecretsFile>

/** A secret file that cannot be used; the text says which and why, never what is in it. */
export class SecretsError extends Error {
  readonly code = 'SECRETS_UNREADABLE'

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'SecretsError'
  }
}

/** Where the keys are that a machine makes for itself. */
export const secretsFile = (dataDir: string): string => join(dataDir, 'secrets.json')

/** Where the admin token is. */
export const tokenFile = (dataDir: string): string => join(dataDir, 'token')

/**
 * The keys of the config, else those of `dataDir/secrets.json`, which is made (mode 0600) when it is missing. Processes
 * that start together agree on one file. Throws `SecretsError`.
 */
export function openSecrets(
  dataDir: string,
  configured: { fingerprintKeys?: string[] | undefined; decisionKeys?: string[] | undefined },
): Secrets {
  const { fingerprintKeys, decisionKeys } = configured
  if (fingerprintKeys !== undefined && decisionKeys !== undefined) return { fingerprintKeys, decisionKeys }
  const file = secretsFile(dataDir)
  const text = readOrCreate(file, () => {
    const key = () => [randomBytes(KEY_BYTES).toString('hex')]
    return `${JSON.stringify({ fingerprintKeys: key(), decisionKeys: key() }, null, 2)}\n`
  })
  const own = parseSecrets(file, text)
  return { fingerprintKeys: fingerprintKeys ?? own.fingerprintKeys, decisionKeys: decisionKeys ?? own.decisionKeys }
}

/** The keys of fingerprints that `openSecrets` would answer; `null` where they are not made yet. Throws `SecretsError`. */
export function knownFingerprintKeys(
  dataDir: string,
  configured: { fingerprintKeys?: string[] | undefined },
): readonly string[] | null {
  if (configured.fingerprintKeys !== undefined) return configured.fingerprintKeys
  const file = secretsFile(dataDir)
  const text = readIfThere(file)
  return text === null ? null : parseSecrets(file, text).fingerprintKeys
}

/** The admin token of this data folder, made (mode 0600) when it is missing. Throws `SecretsError`. */
export function openAdminToken(dataDir: string): string {
  const file = tokenFile(dataDir)
  const token = readOrCreate(file, () => `qc_${randomBytes(TOKEN_BYTES).toString('base64url')}\n`).trim()
  if (token === '') throw new SecretsError(`${file} is empty: delete it, and the next start makes a new token`)
  return token
}

function parseSecrets(file: string, text: string): Secrets {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    // The parser's text would quote the secret.
    content = null
  }
  if (Value.Check(SecretsFile, content)) return content
  throw new SecretsError(
    `${file} must be an object with the lists fingerprintKeys and decisionKeys; restore it from a backup`,
  )
}

/** Writes aside and links: of several processes one wins, and nobody ever reads half a file. */
function readOrCreate(file: string, make: () => string): string {
  const existing = readIfThere(file)
  if (existing !== null) return existing
  const aside = `${file}.${process.pid}`
  try {
    mkdirSync(join(file, '..'), { recursive: true, mode: DIR_MODE })
    writeFileSync(aside, make(), { mode: FILE_MODE, flush: true })
  } catch (error) {
    throw unusable(file, 'made', error)
  }
  try {
    chmodSync(aside, FILE_MODE)
    linkSync(aside, file)
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw unusable(file, 'made', error)
  } finally {
    rmSync(aside, { force: true })
  }
  const made = readIfThere(file)
  if (made === null) throw new SecretsError(`${file} vanished while it was made`)
  return made
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null
    throw unusable(file, 'read', error)
  }
}

function unusable(file: string, how: 'read' | 'made', cause: unknown): SecretsError {
  const isForbidden = ['EACCES', 'EPERM', 'EROFS'].some(code => isCode(cause, code))
  const advice = isForbidden ? '; let this user read and write the data folder, or name another one with --data' : ''
  const why = cause instanceof Error ? cause.message : String(cause)
  return new SecretsError(`${file} cannot be ${how}: ${why}${advice}`, { cause })
}

const isCode = (error: unknown, code: string) => error instanceof Error && 'code' in error && error.code === code
