/** The recorded hour of two LLM services (Azure/AzurePublicDataset, CC-BY-4.0), and the config that understands it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = new URL('../../../shared/data/calls', import.meta.url).pathname

export const CONVERSATION = {
  file: join(FOLDER, 'AzureLLMInferenceTrace_conv.csv'),
  consumer: 'AzureLLMInferenceTrace_conv',
  calls: 19_366,
  inputTokens: 22_361_870,
  outputTokens: 4_088_665,
}
export const CODE = {
  file: join(FOLDER, 'AzureLLMInferenceTrace_code.csv'),
  consumer: 'AzureLLMInferenceTrace_code',
  calls: 8_819,
  inputTokens: 18_059_974,
  outputTokens: 245_896,
}
export const TRACES = [CONVERSATION, CODE]
export const hasTraces = existsSync(CONVERSATION.file) && existsSync(CODE.file)

/** First and last call of both files together: the conversation file has both. */
const FIRST_CALL_MS = Date.UTC(2023, 10, 16, 18, 15, 46, 680)
const LAST_CALL_MS = Date.UTC(2023, 10, 16, 19, 14, 19, 928)

/** Where the first call lands when the last one is moved to `lastCallMs`. */
export const firstCallMs = (lastCallMs: number): number => lastCallMs - (LAST_CALL_MS - FIRST_CALL_MS)

export const MAPPINGS = {
  'azure-llm': {
    format: 'csv',
    fields: {
      startedAtMs: { from: 'TIMESTAMP', time: 'iso' },
      inputTokens: 'ContextTokens',
      outputTokens: 'GeneratedTokens',
    },
    constants: { tenant: 'azure', gateway: 'azure-openai', consumer: '{fileStem}' },
  },
}

/** Quotas of the conversation service's hour, or little more, and minute, in windows that begin with its first call. */
export function quotas(anchorMs: number, hourSeconds: number) {
  const anchor = new Date(anchorMs).toISOString()
  const hour = { kind: 'fixed', everySeconds: hourSeconds, anchor }
  const match = { tenant: 'azure', consumer: CONVERSATION.consumer }
  const per = ['tenant', 'consumer']
  return [
    { name: 'tight-hour', match, per, unit: 'requests', limit: Math.floor(CONVERSATION.calls * 0.95), window: hour },
    { name: 'roomy-hour', match, per, unit: 'requests', limit: CONVERSATION.calls * 2, window: hour },
    { name: 'tokens-hour', match: { tenant: 'azure' }, per, unit: 'total_tokens', limit: 100_000_000, window: hour },
    {
      name: 'tokens-minute',
      match: { tenant: 'azure' },
      per: ['tenant'],
      unit: 'output_tokens',
      limit: 10_000_000,
      window: { kind: 'fixed', everySeconds: 60, anchor },
    },
  ]
}
