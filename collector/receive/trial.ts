/** What would become of a sample of somebody's log: field by field, what is dropped as secret, what is rejected and why. */
import { type CallRecord, CallRecord as CallRecordSchema, type RejectionReason } from '../call-record.ts'
import type { Decoded } from '../normalize/draft.ts'
import { dropsIn } from '../normalize/drops.ts'
import { isRejection, type Normalizer } from '../normalize/normalize.ts'
import type { RawBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'

/** Kinds of rejections, and of places where secrets were, that are told apart; the others are counted together. */
const KINDS_MAX = 50
const OTHERS = '(others)'
/** Set by whoever receives the calls; a gateway has no say in them. */
const OURS: readonly string[] = ['callId', 'arrivedAtMs', 'dialect', 'labels'] satisfies (keyof CallRecord)[]

export interface TrialField {
  /** Of the record; a label as `labels.NAME`. */
  field: string
  /** How many calls have it. */
  count: number
  example: unknown
}

interface TrialRejection {
  reason: RejectionReason
  /** Of the first. */
  message: string
  /** Its place among the inputs, from 1. */
  position: number
  /** The input as it would be kept. */
  input: string
  count: number
}

export interface Trial {
  inputs: number
  calls: number
  /** Inputs that are no calls and need not be. */
  noCalls: number
  /** How many calls were of which dialect. */
  dialects: Record<string, number>
  /** All fields in the order of the record, labels behind them. */
  fields: TrialField[]
  /** Where secrets and prompts were, and in how many inputs. Nothing of them is kept but the fingerprint of who called. */
  dropped: Record<string, number>
  rejections: TrialRejection[]
}

/** Decodes the whole batch and keeps nothing. */
export function tryBatch(batch: RawBatch, source: CallSource, normalizer: Normalizer, nowMs: number): Trial {
  const { dialect, gateway, tenant } = source
  const fields = createFields()
  const rejections = new Map<string, TrialRejection>()
  const trial = { inputs: batch.size, calls: 0, noCalls: 0, dialects: {}, dropped: {} }
  const delivery = {
    ...{ source: source.name, dialect: dialect.name, gateway, tenant, restriction: null, shiftMs: 0 },
    ...{ fileStem: batch.context.fileStem, columns: batch.context.columns, arrivedAtMs: nowMs },
    keyAt: (position: number) => String(position),
    inputAt: (position: number) => batch.inputAt(position),
  }
  for (let position = 0; position < batch.size; position++) {
    const decoded: Decoded = batch.decodedAt(position)
    if (decoded.kind === 'skip') {
      trial.noCalls++
      continue
    }
    for (const place of placesOf(decoded, batch.inputAt(position))) increment(trial.dropped, place)
    const result = normalizer.normalize(decoded, delivery, position)
    if (!isRejection(result)) {
      trial.calls++
      increment(trial.dialects, result.dialect)
      fields.add(result)
      continue
    }
    const { reason, message, input } = result
    const kind = kindOf(reason, message, rejections)
    const known = rejections.get(kind)
    if (known === undefined) rejections.set(kind, { reason, message, position: position + 1, input, count: 1 })
    else known.count++
  }
  return {
    ...trial,
    fields: fields.all(),
    rejections: [...rejections.values()].toSorted((one, other) => other.count - one.count),
  }
}

/** Messages name the field first, and the value behind it. */
function kindOf(reason: RejectionReason, message: string, known: ReadonlyMap<string, unknown>): string {
  const kind = `${reason} ${message.split(':', 1)[0]}`
  return known.has(kind) || known.size < KINDS_MAX ? kind : reason
}

function placesOf(decoded: Exclude<Decoded, { kind: 'skip' }>, input: string): string[] {
  const places = dropsIn(input)
  const isNamed = decoded.kind === 'draft' && typeof decoded.credential === 'string' && decoded.credential !== ''
  return isNamed && places.length === 0 ? ['credential'] : places
}

function increment(counts: Record<string, number>, name: string): void {
  const key = Object.hasOwn(counts, name) || Object.keys(counts).length < KINDS_MAX ? name : OTHERS
  counts[key] = (counts[key] ?? 0) + 1
}

function createFields() {
  const found = new Map<string, TrialField>()
  for (const field of Object.keys(CallRecordSchema.properties)) {
    if (!OURS.includes(field)) found.set(field, { field, count: 0, example: null })
  }
  const add = (field: string, value: unknown) => {
    if (value === null) return
    const known = found.get(field)
    if (known === undefined) found.set(field, { field, count: 1, example: value })
    else {
      known.count++
      known.example ??= value
    }
  }
  return {
    add({ labels, ...record }: CallRecord): void {
      for (const [field, value] of Object.entries(record)) if (!OURS.includes(field)) add(field, value)
      for (const [label, value] of Object.entries(labels)) add(`labels.${label}`, value)
    },
    all: () => [...found.values()],
  }
}
