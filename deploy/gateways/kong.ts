/** Kong Gateway. https://developer.konghq.com/plugins/http-log/ */

import type { Guide } from './guide.ts'
import { kongAsks } from './kong-asks.ts'
import { fileStep, firstBroker, kafkaStep, syslogStep } from './line-setups.ts'

const SOURCE = { dialect: 'kong' }

export const kongGuide: Guide = {
  name: 'kong',
  title: 'Kong Gateway',
  dialect: 'kong',
  ways: ['http', 'kafka', 'file', 'syslog'],
  setups: [
    {
      title: 'Over HTTP, with the http-log plugin',
      steps: [
        {
          text: 'Add the plugin globally, for a service or for a route. It sends batches again for an hour when Quotacast is away, which counts no call twice. Kong drops the query of `http_endpoint`, so the token belongs into a header.',
          snippet: {
            language: 'yaml',
            of: ({ url, source, token }) => `_format_version: '3.0'
plugins:
  - name: http-log
    config:
      http_endpoint: ${url}/v1/sources/${source}
      headers:
        Authorization: Bearer ${token}
      content_type: application/json
      timeout: 10000
      queue:
        max_batch_size: 200
        max_coalescing_delay: 1
        max_entries: 100000
        initial_retry_delay: 0.1
        max_retry_delay: 10
        max_retry_time: 3600
      # Raw keys need not leave Kong where a plugin names the consumer: list every header in which keys come.
      custom_fields_by_lua:
        request.headers.apikey: return nil
        request.headers.x-api-key: return nil
        request.headers.cookie: return nil`,
          },
        },
        {
          text: 'For AI routes, let ai-proxy (or ai-proxy-advanced) log what calls used, and not what was said:',
          snippet: {
            language: 'yaml',
            of: () => `plugins:
  - name: ai-proxy
    config:
      logging:
        log_statistics: true
        log_payloads: false`,
          },
        },
      ],
    },
    {
      title: 'Through a file',
      steps: [
        {
          text: 'Add the file-log plugin:',
          snippet: {
            language: 'yaml',
            of: () => `_format_version: '3.0'
plugins:
  - name: file-log
    config:
      path: /var/log/kong/calls.log
      reopen: true`,
          },
        },
        fileStep(SOURCE, '/var/log/kong/calls.log'),
      ],
    },
    {
      title: 'Through Kafka (Kong Gateway Enterprise)',
      steps: [
        {
          text: 'Add the kafka-log plugin:',
          snippet: {
            language: 'yaml',
            of: ({ brokers }) => {
              const { host, port } = firstBroker(brokers)
              return `_format_version: '3.0'
plugins:
  - name: kafka-log
    config:
      bootstrap_servers:
        - host: ${host}
          port: ${port}
      topic: kong-calls
      producer_request_acks: -1`
            },
          },
        },
        kafkaStep(SOURCE, 'kong-calls'),
      ],
    },
    {
      title: 'Over TCP, without acknowledgement',
      steps: [
        {
          text: 'Add the tcp-log plugin. What it has sent when Quotacast stops is lost.',
          snippet: {
            language: 'yaml',
            of: ({ host, syslogPort }) => `_format_version: '3.0'
plugins:
  - name: tcp-log
    config:
      host: ${host}
      port: ${syslogPort}`,
          },
        },
        syslogStep(SOURCE, 'tcp'),
      ],
    },
  ],
  asks: kongAsks,
  notes: [
    "`consumer` is the consumer's username, else its custom id or id; without a consumer it is the fingerprint of the key in the headers or the query. Ids of credentials can be listed in `keys`.",
    'Keys in headers of names of your own (`key_names` of key-auth) are not recognized: drop them with `custom_fields_by_lua`.',
    'A 429 is `limited` when Kong answered and `exhausted` when it came from the upstream, whose limits are then in `upstreamLimits`; limits that Kong itself adds to answers are left out.',
    '`upstreamLatencyMs` is the time to the first byte (`latencies.proxy`) and, where Kong tells it, of the rest (`latencies.receive`).',
    'Kong knows no cached tokens; the cost is what Kong computed from `input_cost` and `output_cost` of the model.',
    'Calls of TCP and TLS routes are skipped.',
  ],
  hints: {
    requestId: 'Kong writes `request.id` from 3.5 on.',
    consumer: 'Use an authentication plugin, so that Kong knows its consumers; or let it log the header with the key.',
    model: 'Set `logging.log_statistics` of the AI plugin.',
    inputTokens: 'Set `logging.log_statistics` of the AI plugin.',
    outputTokens: 'Set `logging.log_statistics` of the AI plugin.',
    costMicros: 'Set `input_cost` and `output_cost` of the model in ai-proxy, or `prices` in the config of Quotacast.',
  },
}
