/** Names of AI providers, so that prices and quotas see one provider whatever gateway names it. */

/** As gateways and older instrumentation write them, to `gen_ai.provider.name` of OpenTelemetry's conventions. */
const NAMES: Readonly<Record<string, string>> = {
  azure: 'azure.ai.openai',
  azure_openai: 'azure.ai.openai',
  'azure-openai': 'azure.ai.openai',
  azureopenai: 'azure.ai.openai',
  'az.ai.openai': 'azure.ai.openai',
  azure_ai: 'azure.ai.inference',
  'azure-ai': 'azure.ai.inference',
  'az.ai.inference': 'azure.ai.inference',
  bedrock: 'aws.bedrock',
  'aws-bedrock': 'aws.bedrock',
  gemini: 'gcp.gemini',
  google: 'gcp.gemini',
  'google-ai-studio': 'gcp.gemini',
  vertex_ai: 'gcp.vertex_ai',
  'vertex-ai': 'gcp.vertex_ai',
  vertex: 'gcp.vertex_ai',
  'google-vertex-ai': 'gcp.vertex_ai',
  mistral: 'mistral_ai',
  'mistral-ai': 'mistral_ai',
  mistralai: 'mistral_ai',
  xai: 'x_ai',
  'x-ai': 'x_ai',
  grok: 'x_ai',
  watsonx: 'ibm.watsonx.ai',
  text_completion_openai: 'openai',
  cohere_chat: 'cohere',
  'perplexity-ai': 'perplexity',
}

/** The provider's name in OpenTelemetry's spelling; names that it does not know stay, in lower case. */
export function providerName(name: string | null): string | null {
  if (name === null) return null
  const lower = name.toLowerCase()
  if (lower === 'unspecified' || lower === 'unknown') return null
  return Object.hasOwn(NAMES, lower) ? (NAMES[lower] ?? lower) : lower
}
