/** Raw inputs that arrived together, whatever brought them. */
import assert from 'node:assert/strict'
import { type Decode, type DecodeContext, type Decoded, NO_CONTEXT } from '../normalize/draft.ts'
import { jsonText } from '../normalize/redact.ts'
import { decodePlain, type LineDecoder } from './decode-lines.ts'
import type { Line } from './lines.ts'

export interface RawBatch {
  size: number
  /** What was known of where they come from. */
  context: DecodeContext
  decodedAt(position: number): Decoded
  /** The raw input as text. */
  inputAt(position: number): string
}

/** A batch whose inputs came as lines. */
export interface LineBatch extends RawBatch {
  /** The line that holds the input. */
  lineAt(position: number): Line
  /** Which input of its line it is, from 0. */
  partAt(position: number): number
}

export const valueBatch = (values: readonly unknown[], decode: Decode, context = NO_CONTEXT): RawBatch => ({
  size: values.length,
  context,
  decodedAt: position => decode(values[position]),
  inputAt: position => inputText(values[position]),
})

const inputText = (input: unknown) => (typeof input === 'string' ? input : jsonText(input))

/** A batch of nothing but one answer, for what could not be divided. */
export const singleBatch = (decoded: Decoded, input: string): RawBatch => ({
  size: 1,
  context: NO_CONTEXT,
  decodedAt: () => decoded,
  inputAt: () => input,
})

export function lineBatch(lines: readonly Line[], decoder: LineDecoder): LineBatch {
  return decoder.isPlain ? plainBatch(lines, decoder) : partsBatch(lines, decoder)
}

function plainBatch(lines: readonly Line[], decoder: LineDecoder): LineBatch {
  const lineAt = (position: number) => present(lines[position])
  return {
    size: lines.length,
    context: decoder.context,
    decodedAt: position => decodePlain(decoder, lineAt(position)),
    inputAt: position => lineAt(position).text,
    lineAt,
    partAt: () => 0,
  }
}

interface Part {
  line: Line
  index: number
  decoded: () => Decoded
  input: () => string
}

/** How many inputs there are is known only when all lines have been read. */
function partsBatch(lines: readonly Line[], { read, decode, context }: LineDecoder): LineBatch {
  const parts = lines.flatMap((line): Part[] => {
    const found = read(line)
    if (found.kind === 'refusal') return [{ line, index: 0, decoded: () => found, input: () => line.text }]
    return found.inputs.map((input, index) => ({
      line,
      index,
      decoded: () => decode(input),
      input: () => inputText(input),
    }))
  })
  const partAt = (position: number) => present(parts[position])
  return {
    size: parts.length,
    context,
    decodedAt: position => partAt(position).decoded(),
    inputAt: position => partAt(position).input(),
    lineAt: position => partAt(position).line,
    partAt: position => partAt(position).index,
  }
}

function present<T>(value: T | undefined): T {
  assert(value !== undefined, 'a position is inside its batch')
  return value
}
