/** Token counts as AI providers write them, to the record's: input includes what came from a cache. */
import { countOf, type Fields, fieldsAt } from './fields.ts'

export interface TokenUsage {
  inputTokens: number | null
  cachedInputTokens: number | null
  outputTokens: number | null
  totalTokens: number | null
}

/** Names of one count; the first that is there holds. */
type Names = readonly string[]

const INPUT: Names = [
  'prompt_tokens',
  'input_tokens',
  'promptTokenCount',
  'inputTokens',
  'inputTokenCount',
  'inputTextTokenCount',
  'prompt_eval_count',
]
const OUTPUT: Names = [
  'completion_tokens',
  'output_tokens',
  'candidatesTokenCount',
  'outputTokens',
  'outputTokenCount',
  'eval_count',
]
const TOTAL: Names = ['total_tokens', 'totalTokenCount', 'totalTokens']
/** Parts of the input in the counts of OpenAI, DeepSeek and Gemini. */
const CACHED_WITHIN: Names = ['cached_tokens', 'prompt_cache_hit_tokens', 'cachedContentTokenCount']
/** Beside the input in those of Anthropic and Bedrock. */
const CACHED_BESIDE: Names = ['cache_read_input_tokens', 'cacheReadInputTokens', 'cacheReadInputTokenCount']
const WRITTEN_BESIDE: Names = ['cache_creation_input_tokens', 'cacheWriteInputTokens', 'cacheWriteInputTokenCount']

/**
 * The counts in a provider's `usage`: OpenAI's two APIs and who speaks like them, Anthropic, Gemini, Bedrock, Cohere,
 * Ollama. Anthropic and Bedrock leave tokens from and to the cache out of their input, so these are added.
 */
export function tokenUsageOf(usage: Fields): TokenUsage {
  const counts = isCohere(usage) ? fieldsAt(usage, 'tokens') : usage
  const totalTokens = first(counts, TOTAL)
  const input = first(counts, INPUT)
  const visible = first(counts, OUTPUT)
  const thoughts = countOf(counts.thoughtsTokenCount)
  const outputTokens = thoughts === null ? visible : (visible ?? 0) + thoughts
  const within = first(counts, CACHED_WITHIN) ?? first(detailsOf(counts), CACHED_WITHIN)
  const read = first(counts, CACHED_BESIDE)
  const cachedInputTokens = within ?? read
  const beside = (read ?? 0) + (first(counts, WRITTEN_BESIDE) ?? 0)
  const isWithin = counts.prompt_tokens !== undefined || totalTokens === (input ?? 0) + (outputTokens ?? 0)
  const inputTokens = inputWithCached(input === null || isWithin ? input : input + beside, cachedInputTokens)
  return { inputTokens, cachedInputTokens, outputTokens, totalTokens }
}

/** Who follows Anthropic under the names of others is seen where less went in than came from the cache. */
export function inputWithCached(inputTokens: number | null, cachedInputTokens: number | null): number | null {
  if (inputTokens === null || cachedInputTokens === null || cachedInputTokens <= inputTokens) return inputTokens
  return inputTokens + cachedInputTokens
}

/** Cohere has what was billed beside what was read and written. */
const isCohere = (usage: Fields) => usage.billed_units !== undefined && usage.tokens !== undefined

const detailsOf = (usage: Fields) =>
  fieldsAt(usage, usage.prompt_tokens_details === undefined ? 'input_tokens_details' : 'prompt_tokens_details')

function first(usage: Fields, names: Names): number | null {
  for (const name of names) {
    const count = countOf(usage[name])
    if (count !== null) return count
  }
  return null
}
