/**
 * Events of OpenTelemetry's GenAI conventions: log records that tell what was said in an AI call, or repeat all of it. The
 * call is the span in which they were written. https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-events/
 */
import { type Fields, numberOf, textOf } from './fields.ts'

/** Repeats what the span of the call has: of a trace that is not sampled it is all there is. */
const WHOLE_CALL = 'gen_ai.client.inference.operation.details'
/** Of the flags of a trace. */
const SAMPLED = 1

/** True for a log record that belongs to the span of an AI call, which comes by itself. */
export function isPartOfSpan(record: Fields, attributes: Fields): boolean {
  const name = textOf(record.eventName) ?? textOf(attributes['event.name'])
  if (name?.startsWith('gen_ai.') !== true) return false
  return name !== WHOLE_CALL || ((numberOf(record.flags) ?? 0) & SAMPLED) !== 0
}
