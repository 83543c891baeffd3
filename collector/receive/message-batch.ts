/** Messages of a foreign topic as batches of raw inputs: each holds JSON, lines or an export request of OpenTelemetry. */
import assert from 'node:assert/strict'
import { type Decode, DialectError, refusal } from '../normalize/draft.ts'
import { BodyError, splitBody } from './body.ts'
import type { KafkaReceive } from './listen-options.ts'
import { exportBatches } from './otlp.ts'
import { decodeExport } from './otlp-messages.ts'
import { ProtobufError } from './protobuf.ts'
import { type RawBatch, singleBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'

/** Calls of one message. */
const MESSAGE_CALLS_MAX = 100_000

export interface Message {
  offset: string
  /** `null` in messages that only say that a key is gone. */
  value: Buffer | null
}

/** A batch whose inputs came in messages. */
export interface MessageBatch extends RawBatch {
  /** Offset of the message that holds the input, and which of its inputs it is: the same whenever the message comes. */
  placeAt(position: number): string
}

type ReadMessage = (value: Buffer) => { source: CallSource; batch: RawBatch }[]

/** How the messages of a source are read. What cannot be read becomes a rejection. */
export function messageReader(source: CallSource, format: KafkaReceive['format']): ReadMessage {
  const steady = { ...source, dialect: { ...source.dialect, open: openedOnce(source) } }
  const read: ReadMessage = value => {
    switch (format) {
      case 'text': {
        const shape = { source: steady, fileStem: null, isNdjson: false, recordsMax: MESSAGE_CALLS_MAX }
        return [{ source, batch: splitBody(value, shape) }]
      }
      case 'otlp_logs':
        return exportBatches(decodeExport('logs', value), steady)
      case 'otlp_traces':
        return exportBatches(decodeExport('traces', value), steady)
    }
  }
  return value => {
    try {
      return read(value)
    } catch (error) {
      const isBad = error instanceof BodyError || error instanceof ProtobufError || error instanceof DialectError
      if (!isBad) throw error
      const refused = { ...refusal('unreadable', error.message), isInputSecret: source.dialect.hasUnnamedSecrets }
      return [{ source, batch: singleBatch(refused, value.toString('utf8')) }]
    }
  }
}

/** Most messages hold one call: what a dialect prepares for a whole file would be prepared for each. */
function openedOnce({ dialect }: CallSource): CallSource['dialect']['open'] {
  const { framing } = dialect
  const known = framing.kind === 'csv' ? framing.columns : null
  let opened: Decode | null = null
  return context => {
    if (context.columns !== known) return dialect.open(context)
    opened ??= dialect.open(context)
    return opened
  }
}

interface Part {
  batch: RawBatch
  position: number
  place: string
}

/** The messages in order, in one batch for each dialect and header that reads them. */
export function messageBatches(
  messages: readonly Message[],
  read: ReadMessage,
): { source: CallSource; batch: MessageBatch }[] {
  const byReading = new Map<string, { source: CallSource; parts: Part[] }>()
  for (const { offset, value } of messages) {
    if (value === null) continue
    let index = 0
    for (const { source, batch } of read(value)) {
      // Columns are what a rejection keeps of its context.
      const reading = JSON.stringify([source.dialect.name, batch.context.columns])
      const known = byReading.get(reading) ?? { source, parts: [] }
      byReading.set(reading, known)
      for (let position = 0; position < batch.size; position++) {
        known.parts.push({ batch, position, place: `${offset} ${index++}` })
      }
    }
  }
  return Array.from(byReading.values(), ({ source, parts }) => ({ source, batch: joined(parts) }))
}

function joined(parts: readonly Part[]): MessageBatch {
  const at = (position: number): Part => {
    const part = parts[position]
    assert(part !== undefined, 'a position is inside its batch')
    return part
  }
  return {
    size: parts.length,
    // What was read in the same way has the same context.
    context: parts[0]?.batch.context ?? { fileStem: null, columns: null, timezone: 'UTC' },
    decodedAt: position => at(position).batch.decodedAt(at(position).position),
    inputAt: position => at(position).batch.inputAt(at(position).position),
    placeAt: position => at(position).place,
  }
}
