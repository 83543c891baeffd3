/**
 * Higress: Envoy's log in a text format that looks like JSON, so that every value is text and nothing escapes a quote, with
 * what the plugin ai-statistics knows as JSON within its `ai_log`.
 */
import { unescaped } from './access-line.ts'
import type { Draft } from './draft.ts'
import { envoyDialect } from './envoy.ts'
import { countOf, type Fields, fieldsAt, firstText, textOf } from './fields.ts'
import { innerFields } from './inner-json.ts'
import { providerName } from './provider-name.ts'
import { inputWithCached } from './token-usage.ts'

export const higress = envoyDialect('higress', (draft, fields) => {
  // The first versions of the plugin put its values beside the others.
  addStatistics(draft, aiLogOf(fields.ai_log) ?? fields)
  return draft
})

/** The plugin escapes its JSON for the text around it, which a format in JSON does once more. */
function aiLogOf(value: unknown): Fields | null {
  const text = textOf(value)
  return text === null ? null : (innerFields(text) ?? innerFields(unescaped(text)))
}

const LLM_HOST = /^llm-(.+)\.internal(?:\.\w+)?$/

function addStatistics(draft: Draft, log: Fields): void {
  draft.consumer = firstText(log.consumer, draft.consumer)
  draft.model = textOf(log.model)
  draft.provider = providerName(LLM_HOST.exec(textOf(draft.service) ?? '')?.[1] ?? null)
  const cached = countOf(log.cached_tokens) ?? countOf(fieldsAt(log, 'input_token_details').cached_tokens)
  draft.inputTokens = inputWithCached(countOf(log.input_token), cached)
  draft.cachedInputTokens = draft.inputTokens === null ? null : cached
  draft.outputTokens = countOf(log.output_token)
  draft.totalTokens = countOf(log.total_token)
  if (log.response_type === 'stream') draft.labels = { ...(draft.labels ?? {}), stream: 'true' }
}
