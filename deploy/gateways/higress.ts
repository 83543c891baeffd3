/** Higress. https://higress.cn/en/docs/latest/plugins/ai/api-o11y/ai-statistics/ */

import { formatMap } from './envoy-format.ts'
import type { Guide } from './guide.ts'
import { higressAsks } from './higress-asks.ts'
import { fileStep, shipperSetup } from './line-setups.ts'

const CONTAINER_LOGS = '/var/log/containers/higress-gateway-*_higress-system_higress-gateway-*.log'
const SOURCE = { dialect: 'higress' }

export const higressGuide: Guide = {
  name: 'higress',
  title: 'Higress',
  dialect: 'higress',
  ways: ['file', 'otlp'],
  setups: [
    {
      title: 'Through the output of the pods',
      steps: [
        {
          text: 'Set these within the text `mesh` of the ConfigMap `higress-config` (`kubectl -n higress-system edit configmap higress-config`), and leave its other options as they are: the gateway gets its routes by them. `JSON` instead of the default `TEXT` escapes what clients send.',
          snippet: {
            language: 'yaml',
            of: () => `accessLogFile: /dev/stdout
accessLogEncoding: JSON
accessLogFormat: |
${jsonFormat()}`,
          },
        },
        {
          text: 'Let the plugin ai-statistics count tokens, with nothing of what was said. The tag of its image is the one that the console of Higress names; an older console names an older one. Where the console has made it for AI routes, add the attributes to that one:',
          snippet: {
            language: 'yaml',
            of: () => `apiVersion: extensions.higress.io/v1alpha1
kind: WasmPlugin
metadata:
  name: ai-statistics
  namespace: higress-system
spec:
  url: oci://higress-registry.cn-hangzhou.cr.aliyuncs.com/plugins/ai-statistics:2.0.3
  priority: 200
  defaultConfig:
    attributes:
      - key: consumer
        value_source: request_header
        value: x-mse-consumer
        apply_to_log: true
      - key: cached_tokens
        apply_to_log: true`,
          },
        },
        fileStep(SOURCE, CONTAINER_LOGS),
      ],
    },
    shipperSetup(CONTAINER_LOGS),
  ],
  asks: higressAsks,
  notes: [
    'The default format is read too. It is text in the shape of JSON, in which nothing is escaped: a line that a quote breaks is taken apart at the names of its values, and a client may write names and values of its own into the user agent.',
    '`provider` is what stands between `llm-` and `.internal` in the name of the cluster: the name of the AI service provider in Higress.',
    'Attributes of ai-statistics with questions and answers (`question`, `answer`, `messages` …) are dropped on arrival, but should not be logged at all.',
    'Tokens that come from a cache are known with the attribute `cached_tokens`.',
    'A 429 is `exhausted` when the upstream gave it, which `upstream_service_time` tells.',
    'Higress knows no cost: give models a price (`prices` in the config of Quotacast).',
  ],
  hints: {
    consumer: 'Use key-auth, jwt-auth or hmac-auth, and the attribute `consumer` of ai-statistics.',
    model: 'Enable the plugin ai-statistics on the AI route, and `ai_log` in the format of the log.',
    inputTokens: 'Enable the plugin ai-statistics on the AI route, and `ai_log` in the format of the log.',
    outputTokens: 'Enable the plugin ai-statistics on the AI route, and `ai_log` in the format of the log.',
  },
}

/** An object of JSON in the lines of a YAML block. */
function jsonFormat(): string {
  const members = formatMap(0, [['ai_log', '%FILTER_STATE(wasm.ai_log:PLAIN)%']]).split('\n')
  return `  {${members.map(member => member.replace(/^([^:]+): /, '"$1":')).join(',')}}`
}
