/**
 * OpenTelemetry's export requests as batches of calls, whichever way they came. Spans and records that are calls are read
 * as such. A source with a dialect of its own may have a shipper in between, which puts each line that the gateway wrote
 * into the body of a record: what is no call by itself is read from its body then.
 */
import { NO_CONTEXT } from '../normalize/draft.ts'
import { isFields } from '../normalize/fields.ts'
import { otlp } from '../normalize/otlp.ts'
import { otlpItemsOf } from '../normalize/otlp-items.ts'
import type { Rejected } from './accept.ts'
import { createLineDecoder } from './decode-lines.ts'
import { lineOf } from './lines.ts'
import type { ExportAnswer } from './otlp-messages.ts'
import { lineBatch, type RawBatch, valueBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'

export interface ExportBatch {
  /** With the dialect that reads the batch. */
  source: CallSource
  batch: RawBatch
}

/** The source of exports that name none. */
export const OTLP_SOURCE = otlp.name
/** Rejections whose messages an answer holds. */
const SHOWN_MAX = 3

/** The batches of an export request in OTLP's JSON encoding. Throws `DialectError` when the source can read no lines. */
export function exportBatches(document: unknown, source: CallSource): ExportBatch[] {
  const { dialect, timezone } = source
  const context = { ...NO_CONTEXT, timezone }
  const decode = otlp.open(context)
  // An exporter that has nothing to send sends the empty message.
  const isEmpty = isFields(document) && Object.keys(document).length === 0
  const items = isEmpty ? [] : otlpItemsOf(document)
  const lines: string[] = []
  const calls =
    dialect.name === otlp.name
      ? items
      : items.filter(item => {
          const line = decode(item).kind === 'skip' ? bodyOf(item) : null
          if (line !== null) lines.push(line)
          return line === null
        })
  const batches = [{ source: { ...source, dialect: otlp }, batch: valueBatch(calls, decode, context) }]
  if (lines.length === 0) return batches
  const decoder = createLineDecoder(dialect, { fileStem: null, header: null, timezone })
  const batch = lineBatch(
    lines.map((text, index) => ({ offset: 0, number: index + 1, text, problem: null })),
    decoder,
  )
  return [...batches, { source, batch }]
}

/** The line in the body of a log record, `null` where there is none. */
function bodyOf(item: unknown): string | null {
  if (!isFields(item) || item.otlp !== 'log') return null
  return item.body === '' || item.body === null ? null : lineOf(item.body)
}

/** What an exporter is told of what could not be read. */
export function exportAnswer(rejected: readonly Rejected[]): ExportAnswer {
  const messages = rejected.slice(0, SHOWN_MAX).map(rejection => rejection.message)
  return { rejected: rejected.length, message: messages.join(' ') }
}

/** What exporters of metrics are told. */
export const METRICS_ANSWER: ExportAnswer = {
  rejected: 0,
  message: 'Metrics are not kept: Quotacast counts calls from logs and spans.',
}
