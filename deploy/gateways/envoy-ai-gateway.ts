/** Envoy AI Gateway. https://aigateway.envoyproxy.io/docs/capabilities/observability/accesslogs */
import { envoyProxyOf } from './envoy-format.ts'
import { securityPolicySetup } from './envoy-gateway-asks.ts'
import type { Guide } from './guide.ts'
import { fileStep, shipperSetup } from './line-setups.ts'

const METADATA = 'DYNAMIC_METADATA(io.envoy.ai_gateway:'

/** What the gateway learns of the tokens of a call. */
const TOKENS: readonly (readonly [name: string, operator: string])[] = [
  ['gen_ai.request.model', '%REQ(X-AI-EG-MODEL)%'],
  ['gen_ai.response.model', `%${METADATA}model_name_override)%`],
  ['gen_ai.provider.name', `%${METADATA}backend_name)%`],
  ['gen_ai.usage.input_tokens', `%${METADATA}llm_input_token)%`],
  ['gen_ai.usage.cache_read.input_tokens', `%${METADATA}llm_cached_input_token)%`],
  ['gen_ai.usage.output_tokens', `%${METADATA}llm_output_token)%`],
  ['gen_ai.usage.total_tokens', `%${METADATA}llm_total_token)%`],
]

const CONTAINER_LOGS = '/var/log/containers/envoy-*_envoy-gateway-system_envoy-*.log'
const SOURCE = { dialect: 'envoy-ai-gateway' }

export const envoyAiGatewayGuide: Guide = {
  name: 'envoy-ai-gateway',
  title: 'Envoy AI Gateway',
  dialect: 'envoy-ai-gateway',
  ways: ['file', 'otlp'],
  setups: [
    {
      title: 'Through the output of the pods',
      steps: [
        {
          text: 'Let every AIGatewayRoute count tokens; without `llmRequestCosts` there are none in the log:',
          snippet: {
            language: 'yaml',
            of: () => `apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIGatewayRoute
metadata:
  name: chat
spec:
  llmRequestCosts:
    - { metadataKey: llm_input_token, type: InputToken }
    - { metadataKey: llm_cached_input_token, type: CachedInputToken }
    - { metadataKey: llm_output_token, type: OutputToken }
    - { metadataKey: llm_total_token, type: TotalToken }`,
          },
        },
        {
          text: 'Attach this to the Gateway (`spec.infrastructure.parametersRef`):',
          snippet: {
            language: 'yaml',
            of: ({ source }) => envoyProxyOf(source, 'default', TOKENS),
          },
        },
        fileStep(SOURCE, CONTAINER_LOGS),
      ],
    },
    shipperSetup(CONTAINER_LOGS),
  ],
  asks: [{ ...securityPolicySetup, run: { by: 'nobody' } }],
  notes: [
    'The gateway names backends and not providers: `default/openai/route/…` becomes the service and the `providerKey` `default/openai`. Where all backends of a Gateway are of one provider, add `provider: openai` to the format.',
    "The names of the gateway's own examples (`genai_model_name`, `genai_tokens_input` …) are read too.",
    'What was cached is known of versions that have the cost type `CachedInputToken`; leave it out for older ones.',
    'The gateway knows no cost: give models a price (`prices` in the config of Quotacast).',
    'A token budget that is used up refuses the call after the one that used it up: `limited`, with the flag `RL`.',
    'Envoy knows no consumers: see the notes on Envoy.',
  ],
  hints: {
    inputTokens: 'Add `llmRequestCosts` to the AIGatewayRoute, and the values to the format of the log.',
    outputTokens: 'Add `llmRequestCosts` to the AIGatewayRoute, and the values to the format of the log.',
    model: 'Log `%REQ(X-AI-EG-MODEL)%` as `gen_ai.request.model`.',
    provider: 'Add `provider: openai` (or whichever it is) to the format of the log.',
    consumer: 'Log `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:consumer)%`, or the header with the key.',
  },
}
