/** Which field of a record is wrong, and what it should be. Only for records that failed the check of the whole. */
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { CallRecord, LABELS_MAX, type RejectionReason } from '../call-record.ts'
import type { UncheckedRecord } from './record.ts'
import { shown } from './redact.ts'

/** Compiled, because a field may hold whatever fits into a body. */
const FIELDS = Object.entries<TSchema>(CallRecord.properties).map(([field, schema]) => ({
  field,
  schema,
  check: Compile(schema),
}))

/** The first wrong field of a record that is none. */
export function invalidField(record: UncheckedRecord): { reason: RejectionReason; message: string } {
  for (const { field, schema, check } of FIELDS) {
    const value = record[field as keyof UncheckedRecord]
    if (!check.Check(value)) return { reason: reasonOf(value, schema), message: messageOf(field, value, schema) }
  }
  throw new TypeError('a record whose fields are all right is a record')
}

/** Loose view of the parts of a JSON Schema that `CallRecord` uses. */
interface Shape {
  type?: string
  enum?: readonly string[]
  anyOf?: Shape[]
  minimum?: number
  maximum?: number
  maxLength?: number
}

const nonNull = (schema: Shape): Shape => schema.anyOf?.find(({ type }) => type !== 'null') ?? schema

function reasonOf(value: unknown, schema: TSchema): RejectionReason {
  const { maxLength, type } = nonNull(schema)
  if (typeof value === 'string' && maxLength !== undefined && value.length > maxLength) return 'too_long'
  if (type !== 'object' || typeof value !== 'object' || value === null || Array.isArray(value)) return 'invalid_field'
  if (Object.keys(value).length > LABELS_MAX) return 'too_many_labels'
  return Object.values(value).every(label => typeof label === 'string') ? 'too_long' : 'invalid_field'
}

const messageOf = (field: string, value: unknown, schema: TSchema) =>
  `${field}: ${shown(value)} is not ${expectation(schema)}.`

function expectation(schema: Shape): string {
  if (schema.enum !== undefined) return `one of ${schema.enum.join(', ')}`
  const { type, minimum, maximum, maxLength } = nonNull(schema)
  switch (type) {
    case 'string':
      return `text of at most ${maxLength} characters`
    case 'integer':
      return `a whole number from ${minimum} to ${maximum}`
    case 'number':
      return `a number from ${minimum} to ${maximum}`
    default:
      return 'what `Call` in /openapi.json says'
  }
}
