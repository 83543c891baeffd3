/** What is remembered of an import under `imports/`: how far it came, and by how much its calls were moved in time. */
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import type { CallLog } from '../log/call-log.ts'
import { readState, writeState } from './state-file.ts'

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
  const state = await readState(path)
  if (state === null) return null
  if (importState.Check(state)) return state
  throw new ImportStateError(path)
}

/** Durable before the calls that are appended with it: a shift that is forgotten would move them elsewhere. */
export const saveImportState = (dir: string, fingerprint: string, state: ImportState): Promise<void> =>
  writeState(pathOf(dir, fingerprint), state)

/** The life of the log that positions belong to. */
export async function logIdOf(log: Pick<CallLog, 'partitions'>): Promise<string> {
  const partitions = await log.partitions('calls')
  return [...new Set(partitions.map(({ logId }) => logId))].join(' ')
}
