/** Lines of a file, a body or a stream into drafts: where the framing of a dialect meets its decoding. */
import {
  type Decode,
  type DecodeContext,
  type Decoded,
  type Dialect,
  NO_CONTEXT,
  type Refusal,
  refusal,
} from '../normalize/draft.ts'
import { areSeveral, splitJson } from '../normalize/split-json.ts'
import { csvFields } from './csv.ts'
import { parseJson } from './json.ts'
import type { Line } from './lines.ts'
import { withoutSyslogPrefix } from './syslog-prefix.ts'

/** What may be known of lines beside the lines. */
export interface LineContext {
  fileStem: string | null
  /** The first line where `hasHeader`, else `null`. */
  header: string | null
  timezone: string
}

/** The raw inputs that a line holds, or why it holds none. */
type ReadLine = (line: Line) => { kind: 'inputs'; inputs: readonly unknown[] } | Refusal

export interface LineDecoder {
  /** A line is always one input, which is the line. */
  isPlain: boolean
  read: ReadLine
  decode: Decode
  context: DecodeContext
}

/** True when the first line of a file is no call but the names of its columns. */
export const hasHeader = ({ framing }: Dialect): boolean => framing.kind === 'csv' && framing.columns === null

/** Throws `DialectError` when no call could be read this way. */
export function createLineDecoder(dialect: Dialect, { fileStem, header, timezone }: LineContext): LineDecoder {
  const { framing } = dialect
  const unreadable = (message: string): Refusal => ({
    ...refusal('unreadable', message),
    isInputSecret: dialect.hasUnnamedSecrets,
  })
  // An empty file: there is no line to decode either.
  if (hasHeader(dialect) && header === null) {
    const nothing = unreadable('There is no header.')
    return { isPlain: true, read: () => nothing, decode: () => nothing, context: { ...NO_CONTEXT, fileStem } }
  }
  const columns = framing.kind === 'csv' ? (framing.columns ?? columnsOf(header ?? '', framing.delimiter)) : null
  const context: DecodeContext = { fileStem, columns, timezone }
  const readText = textReader(dialect, unreadable)
  return {
    isPlain: dialect.unwrap === undefined,
    read: ({ text, problem }) => {
      switch (problem) {
        case null:
          return readText(text)
        case 'too_long':
          return { ...unreadable('The line is too long.'), reason: 'too_long', isInputCut: true }
        case 'quote_not_closed':
          return unreadable('The line has a quote that is never closed.')
      }
    },
    decode: dialect.open(context),
    context,
  }
}

/**
 * One raw input again, as a rejection kept it: what `unwrap` or an array once held is an input of its own. Throws
 * `DialectError` when the dialect cannot read what has such columns.
 */
export function decodeInput(dialect: Dialect, input: string, context: DecodeContext): Decoded {
  const found = textReader({ framing: dialect.framing }, message => refusal('unreadable', message))(input)
  return found.kind === 'refusal' ? found : dialect.open(context)(found.inputs[0])
}

/** The only input of a line of a decoder that is plain. */
export function decodePlain({ read, decode }: LineDecoder, line: Line): Decoded {
  const found = read(line)
  return found.kind === 'refusal' ? found : decode(found.inputs[0])
}

const columnsOf = (header: string, delimiter: string) =>
  (csvFields(header, delimiter) ?? []).map(column => column.trim())

type ReadText = (text: string) => ReturnType<ReadLine>

const one = (input: unknown) => ({ kind: 'inputs' as const, inputs: [input] })

function textReader(
  { framing, unwrap }: Pick<Dialect, 'framing' | 'unwrap'>,
  unreadable: (message: string) => Refusal,
): ReadText {
  const inputsOf = (value: unknown) => (unwrap === undefined ? one(value) : { ...one(null), inputs: unwrap(value) })
  switch (framing.kind) {
    case 'csv':
      return text => {
        const fields = csvFields(text, framing.delimiter)
        return fields === null ? unreadable('The line has quotes that make no sense.') : one(fields)
      }
    case 'json':
      return text => {
        const parsed = parseJson(text)
        return parsed.kind === 'value' ? inputsOf(parsed.value) : unreadable(parsed.message)
      }
    case 'text':
      return line => {
        const text = withoutSyslogPrefix(line)
        if (!text.startsWith('{')) return inputsOf(text)
        const parsed = parseJson(text)
        if (parsed.kind === 'value') return inputsOf(parsed.value)
        if (holdsSeveral(text))
          return unreadable('The line holds several JSON documents: send each in a line of its own.')
        // Some gateways write lines that are JSON but for a quote in the wrong place: their dialects know better.
        return one(text)
      }
  }
}

/** One document right behind the other. */
const SEAM = /\}\s*\{/
const holdsSeveral = (text: string) => SEAM.test(text) && areSeveral(splitJson(text))
