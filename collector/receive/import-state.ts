/** What is remembered of an import under `imports/`: how far it came, and by how much its calls were moved in time. */
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const whole = (minimum = 0) => Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER })

const ImportState = Type.Object(
  {
    /** Where it lay; for people. */
    file: Type.String(),
    /** Of the dialect; under another one the position means nothing. */
    definition: Type.String(),
    /** Life of the log that holds what was imported; in another one the position means nothing. */
    logId: Type.String(),
    shiftMs: Type.Integer(),
    /** Everything before it is durable in the log. */
    position: Type.Object({ offset: whole(), number: whole(1), prefixHash: Type.String() }),
    /** Calls before the position. */
    accepted: whole(),
    rejected: whole(),
  },
  { additionalProperties: false },
)
export type ImportState = Static<typeof ImportState>

const importState = Compile(ImportState)

/** State that somebody damaged; without the remembered shift, calls would come again at other times. */
class ImportStateError extends Error {
  readonly code = 'IMPORT_STATE_UNREADABLE'

  constructor(path: string) {
    super(`${path} is damaged; remove it to import its file from the beginning`)
    this.name = 'ImportStateError'
  }
}

const pathOf = (dir: string, fingerprint: string) => join(dir, `${fingerprint}.json`)

/** `null` when the recording was never imported. Throws `ImportStateError`. */
export async function loadImportState(dir: string, fingerprint: string): Promise<ImportState | null> {
  const path = pathOf(dir, fingerprint)
  try {
    const state: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (importState.Check(state)) return state
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new ImportStateError(path)
}

/** Whole or not at all, whenever the process or the machine stops. */
export async function saveImportState(dir: string, fingerprint: string, state: ImportState): Promise<void> {
  await mkdir(dir, { recursive: true })
  const path = pathOf(dir, fingerprint)
  const temporary = `${path}.${process.pid}.tmp`
  const file = await open(temporary, 'w')
  try {
    await file.writeFile(`${JSON.stringify(state, null, 2)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  // A name that a power cut takes back would take the remembered shift with it, after calls were appended with it.
  const folder = await open(dir)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
