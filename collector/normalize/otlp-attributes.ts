/** Attributes of OpenTelemetry as plain objects, without what was said to and by a model. */
import { type Fields, isFields } from './fields.ts'

/** Longer text is a prompt, a stack or a document, whatever its name. */
const VALUE_CHARACTERS_MAX = 4096
const DEPTH_MAX = 8
const ITEMS_MAX = 256
/** Segments of the names under which prompts and completions are written, but for OpenInference's counts of their tokens. */
const PROMPT_NAME =
  /(?:^|(?<!\.token_count)\.)(?:prompts?|completions?|messages?|contents?|input|output|system_instructions|instructions|choices|arguments|definitions|stacktrace|documents|(?:prompt|completion)_json)(?:\.|$)/

/** The object of a list of OTLP's `KeyValue`. Later ones of a name hold. */
export function attributesOf(list: unknown, depth = 0): Fields {
  const attributes: Record<string, unknown> = {}
  if (!Array.isArray(list)) return attributes
  for (const entry of list.slice(0, ITEMS_MAX)) {
    if (!isFields(entry) || typeof entry.key !== 'string' || PROMPT_NAME.test(entry.key)) continue
    const value = otlpValue(entry.value, depth)
    if (typeof value === 'string' && value.length > VALUE_CHARACTERS_MAX) continue
    if (value !== null && entry.key !== '__proto__') attributes[entry.key] = value
  }
  return attributes
}

/** The value of OTLP's `AnyValue`; integers of 64 bits stay the text that they are, bytes are not read. */
export function otlpValue(value: unknown, depth = 0): unknown {
  if (!isFields(value) || depth > DEPTH_MAX) return null
  const { stringValue, intValue, doubleValue, boolValue, arrayValue, kvlistValue } = value
  if (stringValue !== undefined) return stringValue
  if (intValue !== undefined) return intValue
  if (doubleValue !== undefined) return doubleValue
  if (boolValue !== undefined) return boolValue
  if (isFields(arrayValue)) {
    return Array.isArray(arrayValue.values)
      ? arrayValue.values.slice(0, ITEMS_MAX).map(item => otlpValue(item, depth + 1))
      : []
  }
  return isFields(kvlistValue) ? attributesOf(kvlistValue.values, depth + 1) : null
}
