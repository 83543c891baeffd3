/** What a format that somebody writes by hand may add under the names of the record, in snake_case. */
import type { Draft } from './draft.ts'
import { countOf, type Fields, textOf } from './fields.ts'

type OwnField = Exclude<keyof Draft, 'kind' | 'dialect'>

const OWN_FIELDS: readonly (readonly [name: string, field: OwnField, read: (value: unknown) => unknown])[] = [
  ['tenant', 'tenant', textOf],
  ['consumer', 'consumer', textOf],
  ['credential', 'credential', textOf],
  ['credential_id', 'credentialId', textOf],
  ['route', 'route', textOf],
  ['service', 'service', textOf],
  ['provider', 'provider', textOf],
  ['model', 'model', textOf],
  ['provider_key', 'providerKey', textOf],
  ['decision_id', 'decisionId', textOf],
  ['input_tokens', 'inputTokens', countOf],
  ['cached_input_tokens', 'cachedInputTokens', countOf],
  ['output_tokens', 'outputTokens', countOf],
  ['total_tokens', 'totalTokens', countOf],
  ['cost_micros', 'costMicros', countOf],
]

/** Puts them over what the draft knows already: whoever writes them means them. */
export function putOwnFields(draft: Draft, fields: Fields): void {
  for (const [name, field, read] of OWN_FIELDS) {
    const value = fields[name]
    if (value !== undefined) draft[field] = read(value) ?? draft[field]
  }
}
