/** The fields of one CSV line. */
import { parse } from 'csv-parse/sync'

/** `null` for quotes that make no sense. 0.2 µs a line without quotes, 15 µs with. */
export function csvFields(text: string, delimiter: string): string[] | null {
  if (!text.includes('"')) return text.split(delimiter)
  try {
    // Left to find out where a record ends, it takes a lone carriage return for that, and drops what is behind it.
    const [fields] = parse(text, { delimiter, record_delimiter: '\n', relax_column_count: true })
    return fields ?? null
  } catch {
    return null
  }
}
