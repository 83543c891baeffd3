import type { Dimensions } from '../../policy/quota.ts'
import { writeWithin } from './envoy-headers.ts'
import { delimited, type Writer } from './protobuf.ts'

/** Whom the question was about. */
export type Caller = Pick<Dimensions, 'tenant' | 'consumer'>
export const NOBODY: Caller = { tenant: null, consumer: null }

/** A `google.protobuf.Struct`, for Envoy's access log: then a record spends where its question did. */
export function writeCaller(writer: Writer, field: number, caller: Caller): void {
  const known = Object.entries(caller).filter(([, value]) => value !== null)
  if (known.length === 0) return
  writeWithin(writer, field, () => {
    for (const [name, value] of known)
      writeWithin(writer, 1, () => {
        writer.uint32(delimited(1)).string(name)
        writeWithin(writer, 2, () => writer.uint32(delimited(3)).string(value ?? ''))
      })
  })
}
