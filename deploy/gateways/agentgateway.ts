/** agentgateway. https://agentgateway.dev/docs/ */
import { agentgatewayAsks } from './agentgateway-asks.ts'
import type { Guide } from './guide.ts'
import { DENIED_HEADER } from './limit-headers.ts'
import { fileStep, shipperSetup } from './line-setups.ts'

const LIMITS = [
  'retry-after',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-tokens',
  DENIED_HEADER,
]
const CONTAINER_LOGS = '/var/log/containers/agentgateway-*.log'

export const agentgatewayGuide: Guide = {
  name: 'agentgateway',
  title: 'agentgateway',
  dialect: 'agentgateway',
  ways: ['file', 'otlp'],
  setups: [
    {
      title: 'Through its output',
      steps: [
        {
          text: 'Write JSON, and add who called and what is left of the limits of the provider. Metadata of API keys are fields of `apiKey`; leave out what you do not have. Never add `llm.prompt` or `llm.completion`.',
          snippet: {
            language: 'yaml',
            of: () => `config:
  logging:
    format: json
frontendPolicies:
  accessLog:
    add:
      consumer: apiKey.consumer
      tenant: apiKey.tenant
${LIMITS.map(name => `      ${name}: response.headers["${name}"]`).join('\n')}`,
          },
        },
        fileStep({ dialect: 'agentgateway' }, '/var/log/agentgateway/*.log'),
      ],
    },
    shipperSetup(CONTAINER_LOGS),
    {
      title: 'With OpenTelemetry',
      steps: [
        {
          text: 'Send traces of all calls instead, with who called.',
          snippet: {
            language: 'yaml',
            of: ({ host, port, source, token }) => `frontendPolicies:
  tracing:
    host: ${host}:${port}
    protocol: http
    path: /v1/sources/${source}/v1/traces
    policies:
      requestHeaderModifier:
        set:
          Authorization: Bearer ${token}
    randomSampling: true
    attributes:
      consumer: apiKey.consumer
      tenant: apiKey.tenant`,
          },
        },
      ],
    },
  ],
  asks: agentgatewayAsks,
  notes: [
    'Use one of the two ways, not both. Lines of text are read as well as JSON.',
    'The log tells neither bytes nor how long the upstream took. Tokens, model and cost are there for AI routes; cost needs a model catalog.',
    'A 429 of its own rate limits is `limited`; one without a `reason` came from the provider and is `exhausted`.',
    'What follows a prompt in a line of text is not believed, as a prompt could pretend to be fields.',
  ],
  hints: {
    consumer: 'Add `consumer` to the access log: `apiKey.consumer`, `jwt.sub`, or a header.',
    tenant: 'Add `tenant` to the access log.',
    upstreamLimits: 'Add the headers with the limits of the provider to the access log.',
    costMicros: 'Give agentgateway a model catalog, or Quotacast `prices`.',
    requestBytes: 'agentgateway does not log it.',
    responseBytes: 'agentgateway does not log it.',
  },
}
