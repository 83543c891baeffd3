/** Lines of a file or a body into drafts: where the framing of a dialect (JSON or CSV) meets its decoding. */
import { type Decode, type Dialect, type Draft, type Refusal, refusal } from '../normalize/draft.ts'
import { csvFields } from './csv.ts'
import type { Line } from './lines.ts'

/** A decoder of lines; for a CSV whose first line names its columns, of those behind it. */
export type DecodeLine = (line: Line) => Draft | Refusal

/** True when the first line of a file is no call but the names of its columns. */
export const hasHeader = ({ framing }: Dialect): boolean => framing.kind === 'csv' && framing.columns === null

/**
 * `header` is the first line where `hasHeader`, else `null`. Throws `DialectError` when no call could be read this way.
 */
export function createLineDecoder(dialect: Dialect, fileStem: string | null, header: string | null): DecodeLine {
  const { framing } = dialect
  const unreadable = (message: string): Refusal => ({
    ...refusal('unreadable', message),
    isInputSecret: dialect.hasUnnamedSecrets,
  })
  // An empty file: there is no line to decode either.
  if (hasHeader(dialect) && header === null) return () => unreadable('There is no header.')
  const columns = framing.kind === 'csv' ? (framing.columns ?? columnsOf(header ?? '', framing.delimiter)) : null
  const decode = dialect.open({ fileStem, columns })
  const decodeText =
    framing.kind === 'csv' ? csvDecoder(decode, framing.delimiter, unreadable) : jsonDecoder(decode, unreadable)
  return ({ text, problem }) => {
    switch (problem) {
      case null:
        return decodeText(text)
      case 'too_long':
        return { ...unreadable('The line is too long.'), reason: 'too_long' }
      case 'quote_not_closed':
        return unreadable('The line has a quote that is never closed.')
    }
  }
}

const columnsOf = (header: string, delimiter: string) =>
  (csvFields(header, delimiter) ?? []).map(column => column.trim())

function csvDecoder(decode: Decode, delimiter: string, unreadable: (message: string) => Refusal) {
  return (text: string) => {
    const fields = csvFields(text, delimiter)
    return fields === null ? unreadable('The line has quotes that make no sense.') : decode(fields)
  }
}

function jsonDecoder(decode: Decode, unreadable: (message: string) => Refusal) {
  return (text: string) => {
    const parsed = parseJson(text)
    return parsed.kind === 'value' ? decode(parsed.value) : unreadable(parsed.message)
  }
}

/** The parser's own message would show what stands there, so it is not passed on. */
export function parseJson(text: string): { kind: 'value'; value: unknown } | { kind: 'unreadable'; message: string } {
  try {
    return { kind: 'value', value: JSON.parse(text) }
  } catch {
    return { kind: 'unreadable', message: 'This is not JSON.' }
  }
}
