/** LiteLLM Proxy. https://docs.litellm.ai/docs/observability/generic_api */

import type { Guide } from './guide.ts'
import { litellmAsks } from './litellm-asks.ts'

export const litellmGuide: Guide = {
  name: 'litellm',
  title: 'LiteLLM Proxy',
  dialect: 'litellm',
  ways: ['http', 'otlp'],
  setups: [
    {
      title: 'Over HTTP, with the callback generic_api',
      steps: [
        {
          text: 'Into `config.yaml` of the proxy. Prompts and answers stay at home; what is sent is a batch a second.',
          snippet: {
            language: 'yaml',
            of: ({ url, source, token }) => `litellm_settings:
  callbacks: ["quotacast"]
  turn_off_message_logging: true

callback_settings:
  quotacast:
    callback_type: generic_api
    endpoint: ${url}/v1/sources/${source}
    headers:
      Authorization: Bearer ${token}
      Content-Type: application/json
    log_format: json_array
    batch_size: 100
    flush_interval: 1`,
          },
        },
      ],
    },
    {
      title: 'With OpenTelemetry',
      steps: [
        {
          text: 'OpenTelemetry sends again for a minute what could not be sent, which generic_api does not. A call whose spans come in two batches counts twice: where that matters let a Collector with `groupbytrace` stand between, as `quotacast sources show otlp` has it. `pip install opentelemetry-api opentelemetry-sdk opentelemetry-exporter-otlp`, then in `config.yaml`:',
          snippet: {
            language: 'yaml',
            of: () => `litellm_settings:
  callbacks: ["otel"]
  turn_off_message_logging: true`,
          },
        },
        {
          text: 'and in the environment of the proxy:',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) => `OTEL_EXPORTER_OTLP_ENDPOINT=${url}/v1/sources/${source}
OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
OTEL_EXPORTER_OTLP_HEADERS=x-quotacast-token=${token}
OTEL_SERVICE_NAME=litellm`,
          },
        },
      ],
    },
  ],
  asks: litellmAsks,
  notes: [
    'generic_api forgets a batch that could not be sent: calls of a time when Quotacast is away are not counted. Use one of the two ways, not both.',
    "`consumer` is the alias of the virtual key, else LiteLLM's hash of it; list the hash in `keys` to give it a name. The team, else the organisation, is the tenant; the deployment (`model_id`) is the `providerKey`.",
    'LiteLLM does not log bytes, and the method never; failed calls have no tokens. Cost is in US dollars.',
    'A budget or rate limit of the proxy is `limited`; what the provider refused for want of quota is `exhausted`, as is a call for which all deployments were resting.',
    'An answer from the cache has the tokens of the first one and costs 0; its label `cache` is `hit`.',
  ],
  hints: {
    consumer: 'Give virtual keys an alias (`key_alias`), and let callers use virtual keys.',
    tenant: 'Put virtual keys into teams (`team_id`) or organisations.',
    route: 'Newer versions of LiteLLM log the route; before, it is the kind of call.',
    upstreamLimits: 'Only providers that send `x-ratelimit-` headers have limits.',
  },
}
