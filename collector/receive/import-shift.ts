/**
 * How recorded traces are moved so that their last call is at a given instant: all files of one command by the same, so
 * that distances stay. A recording keeps the shift of its first import for ever, since its calls keep their ids.
 */
import { startedAtMsOf } from '../normalize/normalize.ts'
import { createLineDecoder } from './decode-lines.ts'
import { lineBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'
import { blocksOf, type SourceFile } from './source-file.ts'

/** Files of one command whose remembered shifts leave open how the others should move. */
class ShiftError extends Error {
  readonly code = 'SHIFTS_DIFFER'

  constructor() {
    super('These files were imported with different shifts before; import the new ones by themselves.')
    this.name = 'ShiftError'
  }
}

/**
 * The shift of the files that have none yet (`null`): remembered ones are theirs to keep, and others join them. `findLastMs`
 * reads the files only when nothing is remembered. Throws `ShiftError`.
 */
export async function commonShiftMs(
  rememberedMs: readonly (number | null)[],
  toMs: number | null,
  findLastMs: () => Promise<number | null>,
): Promise<number> {
  const shifts = new Set(rememberedMs.filter(shiftMs => shiftMs !== null))
  const [shiftMs] = shifts
  if (toMs === null || !rememberedMs.includes(null)) return 0
  if (shifts.size > 1) throw new ShiftError()
  if (shiftMs !== undefined) return shiftMs
  const lastMs = await findLastMs()
  return lastMs === null ? 0 : toMs - lastMs
}

/** Start of the last call of all files as recorded, `null` when there is none. `onBlock` hears the bytes read of all. */
export async function lastStartedAtMs(
  sources: readonly SourceFile[],
  { dialect, timezone }: CallSource,
  onBlock: (path: string, bytesRead: number) => void,
): Promise<number | null> {
  let lastMs: number | null = null
  let bytesBefore = 0
  for (const source of sources) {
    if (source.fingerprint === null) continue
    const { fileStem, header } = source
    const decoder = createLineDecoder(dialect, { fileStem, header, timezone })
    for await (const { lines, bytesRead } of blocksOf(source.path, dialect, source.begin)) {
      const batch = lineBatch(lines, decoder)
      for (let position = 0; position < batch.size; position++) {
        const startedAtMs = startedAtMsOf(batch.decodedAt(position))
        if (startedAtMs !== null && (lastMs === null || startedAtMs > lastMs)) lastMs = startedAtMs
      }
      onBlock(source.path, bytesBefore + bytesRead)
    }
    bytesBefore += source.bytes
  }
  return lastMs
}
