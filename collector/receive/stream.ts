/** Calls from a stream of lines that ends, such as standard input. It is never sent again, so its calls have fresh ids. */
import { randomUUID } from 'node:crypto'
import { addAbortSignal, type Readable } from 'node:stream'
import type { Acceptance } from './accept.ts'
import { createLineDecoder, hasHeader, type LineDecoder } from './decode-lines.ts'
import type { Intake } from './intake.ts'
import { createLineSplitter, type SplitLines } from './lines.ts'
import { type LineBatch, lineBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'
import { delimiterOf } from './source-file.ts'

export interface StreamDeps {
  intake: Pick<Intake, 'take'>
  /** Hears of every stretch that is durable. */
  onTaken: (batch: LineBatch, acceptance: Acceptance) => void
  /** Ends the reading; a line that is not whole then is left out. */
  signal: AbortSignal
}

/** Resolves when all of the stream is durable, or as much as came before the signal. Throws `DialectError` and as `take`. */
export async function importStream(
  stream: Readable,
  source: CallSource,
  { intake, onTaken, signal }: StreamDeps,
): Promise<void> {
  const { dialect, timezone } = source
  const splitter = createLineSplitter({ delimiter: delimiterOf(dialect) })
  const keyPrefix = `stdin ${randomUUID()}`
  let decoder: LineDecoder | null = null
  const take = async ({ lines }: SplitLines) => {
    if (lines.length === 0) return
    const header = decoder === null && hasHeader(dialect) ? (lines.shift()?.text ?? null) : null
    decoder ??= createLineDecoder(dialect, { fileStem: null, header, timezone })
    const batch = lineBatch(lines, decoder)
    const acceptance = await intake.take(source, batch, {
      ...{ receiver: 'stdin', restriction: null },
      keyAt: position => `${keyPrefix} ${batch.lineAt(position).number} ${batch.partAt(position)}`,
    })
    onTaken(batch, acceptance)
  }
  try {
    for await (const chunk of addAbortSignal(signal, stream)) await take(splitter.push(chunk))
  } catch (error) {
    if (!signal.aborted || !(error instanceof Error && error.name === 'AbortError')) throw error
    // The iterator leaves what it has not come to.
    for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) await take(splitter.push(chunk))
    return
  }
  await take(splitter.end())
}
