/** Header fields as Envoy's services have them (`envoy.config.core.v3`). */
import { delimited, type Writer } from './protobuf.ts'

/** A message within one that is being written. */
export function writeWithin(writer: Writer, field: number, write: () => void): void {
  writer.uint32(delimited(field)).fork()
  write()
  writer.ldelim()
}

/** Repeated `HeaderValue`. */
export function writeHeaders(writer: Writer, field: number, headers: Readonly<Record<string, string>>): void {
  for (const name in headers) writeWithin(writer, field, () => writeHeader(writer, name, headers[name] ?? ''))
}

export function writeHeader(writer: Writer, name: string, value: string): void {
  writer.uint32(delimited(1)).string(name).uint32(delimited(2)).string(value)
}
