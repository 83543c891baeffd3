/**
 * Envoy AI Gateway: Envoy's JSON with what the gateway left in the dynamic metadata, under the names of OpenTelemetry's
 * GenAI conventions or those of the gateway's own examples.
 */
import type { Draft } from './draft.ts'
import { envoyDialect } from './envoy.ts'
import { countOf, type Fields, firstText, textOf } from './fields.ts'
import { providerName } from './provider-name.ts'
import { inputWithCached } from './token-usage.ts'

export const envoyAiGateway = envoyDialect('envoy-ai-gateway', (draft, fields) => {
  addUsage(draft, fields)
  return draft
})

function addUsage(draft: Draft, raw: Fields): void {
  draft.model = firstText(
    draft.model,
    raw['gen_ai.response.model'],
    raw.genai_model_name_override,
    raw['gen_ai.request.model'],
    raw.genai_model_name,
  )
  draft.inputTokens ??= countOf(raw['gen_ai.usage.input_tokens'] ?? raw.genai_tokens_input)
  draft.cachedInputTokens ??= countOf(
    raw['gen_ai.usage.cache_read.input_tokens'] ??
      raw['gen_ai.usage.cached_input_tokens'] ??
      raw.genai_tokens_cached_input,
  )
  // Versions differ in whether what came from a cache is part of the input.
  draft.inputTokens = inputWithCached(countOf(draft.inputTokens), countOf(draft.cachedInputTokens))
  draft.outputTokens ??= countOf(raw['gen_ai.usage.output_tokens'] ?? raw.genai_tokens_output)
  draft.totalTokens ??= countOf(raw['gen_ai.usage.total_tokens'] ?? raw.genai_tokens_total)
  addBackend(draft, firstText(raw['gen_ai.provider.name'], raw.genai_backend_name))
}

const BACKEND = /^([^/]+\/[^/]+)\/route\//

/** A backend is `namespace/name/route/…`, and has one credential of its provider; what is no such path is a provider. */
function addBackend(draft: Draft, name: string | null): void {
  const backend = name === null ? undefined : BACKEND.exec(name)?.[1]
  if (backend === undefined) draft.provider = providerName(textOf(draft.provider) ?? name)
  else {
    draft.service = backend
    draft.providerKey ??= backend
  }
}
