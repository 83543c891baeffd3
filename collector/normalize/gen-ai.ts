/**
 * Attributes of AI calls in OpenTelemetry's GenAI conventions, now and before their renames, and in those of OpenInference,
 * OpenLLMetry and Portkey. By the conventions input tokens include what came from a cache.
 */
import type { Draft } from './draft.ts'
import { countOf, type Fields, firstText, numberOf, textOf } from './fields.ts'
import { providerName } from './provider-name.ts'
import { inputWithCached } from './token-usage.ts'

export interface GenAi {
  provider: string | null
  model: string | null
  operation: string | null
  inputTokens: number | null
  cachedInputTokens: number | null
  outputTokens: number | null
  totalTokens: number | null
  costMicros: number | null
}

const MICROS = 1e6

const INPUT = [
  'gen_ai.usage.input_tokens',
  'gen_ai.usage.prompt_tokens',
  'gen_ai.response.input_tokens',
  'llm.usage.prompt_tokens',
  'llm.token_count.prompt',
]
const CACHED = [
  'gen_ai.usage.cache_read.input_tokens',
  'gen_ai.usage.cache_read_input_tokens',
  'gen_ai.usage.input_tokens.cached',
  'llm.token_count.prompt_details.cache_read',
]
const OUTPUT = [
  'gen_ai.usage.output_tokens',
  'gen_ai.usage.completion_tokens',
  'gen_ai.response.output_tokens',
  'llm.usage.completion_tokens',
  'llm.token_count.completion',
]
const TOTAL = ['gen_ai.usage.total_tokens', 'llm.usage.total_tokens', 'llm.token_count.total']
/** No convention has a cost: Cloudflare and others, agentgateway, LiteLLM, OpenLLMetry, Logfire. */
const COST = [
  'gen_ai.usage.cost',
  'gen_ai.usage.total_cost',
  'agw.ai.usage.cost.total',
  'gen_ai.cost.total_cost',
  'llm.usage.total_cost',
  'operation.cost',
]

/** What the attributes say of an AI call, `null` where they belong to none. */
export function genAiOf(attributes: Fields): GenAi | null {
  const cachedInputTokens = firstCount(attributes, CACHED)
  const genAi: GenAi = {
    provider: providerName(
      firstText(
        attributes['gen_ai.provider.name'],
        attributes['gen_ai.system'],
        attributes['gen_ai.model.provider'],
        attributes['llm.provider'],
        attributes['llm.system'],
      ),
    ),
    model: firstText(
      litellmModel(attributes),
      attributes['gen_ai.response.model'],
      attributes['gen_ai.request.model'],
      attributes['llm.response.model'],
      attributes['llm.model_name'],
      attributes['llm.request.model'],
    ),
    operation: firstText(attributes['gen_ai.operation.name'], attributes['llm.request.type']),
    inputTokens: inputWithCached(firstCount(attributes, INPUT), cachedInputTokens),
    cachedInputTokens,
    outputTokens: firstCount(attributes, OUTPUT),
    totalTokens: firstCount(attributes, TOTAL),
    costMicros: costMicrosOf(attributes),
  }
  const { provider, model, inputTokens, outputTokens, totalTokens } = genAi
  const isAi = provider !== null || model !== null || inputTokens !== null || outputTokens !== null
  return isAi || totalTokens !== null ? genAi : null
}

const AGENT_OPERATIONS = new Set<unknown>(['invoke_agent', 'invoke_workflow'])
const AGENT_KINDS = new Set<unknown>(['AGENT', 'CHAIN'])

/** True for attributes of a program that calls models, whose usage, where it has any, is the sum of theirs. */
export const isAgent = (attributes: Fields): boolean =>
  AGENT_OPERATIONS.has(attributes['gen_ai.operation.name']) || AGENT_KINDS.has(attributes['openinference.span.kind'])

/** LiteLLM gives clients the name that they asked for as that of the model which answered. */
function litellmModel(attributes: Fields): string | null {
  const model = textOf(attributes['litellm.provider.model'])
  const provider = `${textOf(attributes['gen_ai.system'])}/`
  return model?.startsWith(provider) === true ? model.slice(provider.length) : model
}

export const hasUsage = ({ inputTokens, outputTokens, totalTokens }: GenAi): boolean =>
  inputTokens !== null || outputTokens !== null || totalTokens !== null

/** Fills what a draft does not know yet. */
export function addGenAi(draft: Draft, genAi: GenAi): void {
  draft.provider ??= genAi.provider
  draft.model ??= genAi.model
  draft.inputTokens ??= genAi.inputTokens
  draft.cachedInputTokens ??= genAi.cachedInputTokens
  draft.outputTokens ??= genAi.outputTokens
  draft.totalTokens ??= genAi.totalTokens
  draft.costMicros ??= genAi.costMicros
}

/** The usage of several AI calls within one, as attributes. */
export function summedUsage(parts: readonly GenAi[]): Fields {
  const sumOf = (field: 'inputTokens' | 'cachedInputTokens' | 'outputTokens' | 'totalTokens' | 'costMicros') =>
    parts.reduce<number | null>((sum, part) => (part[field] === null ? sum : (sum ?? 0) + part[field]), null)
  const costMicros = sumOf('costMicros')
  return {
    'gen_ai.usage.input_tokens': sumOf('inputTokens'),
    'gen_ai.usage.cache_read.input_tokens': sumOf('cachedInputTokens'),
    'gen_ai.usage.output_tokens': sumOf('outputTokens'),
    'gen_ai.usage.total_tokens': sumOf('totalTokens'),
    'gen_ai.usage.cost': costMicros === null ? null : costMicros / MICROS,
  }
}

function firstCount(attributes: Fields, names: readonly string[]): number | null {
  for (const name of names) {
    const count = countOf(attributes[name])
    if (count !== null) return count
  }
  return null
}

/** Money of the configured currency: all of them write US dollars. */
function costMicrosOf(attributes: Fields): number | null {
  for (const name of COST) {
    const cost = numberOf(attributes[name])
    if (cost !== null && cost >= 0) return Math.round(cost * MICROS)
  }
  return null
}
