/** Apache APISIX. https://apisix.apache.org/docs/apisix/plugins/http-logger/ */
import { apisixAsks } from './apisix-asks.ts'
import type { Guide, Step } from './guide.ts'
import { LIMIT_HEADERS } from './limit-headers.ts'
import { fileStep, firstBroker, kafkaStep } from './line-setups.ts'

/** Every key is the name of its variable, which says what the value means and in which unit. */
const LOG_FORMAT = [
  'msec',
  'request_time',
  'upstream_response_time',
  'apisix_upstream_response_time',
  'apisix_request_id',
  'request_method',
  'uri',
  'host',
  'status',
  'upstream_status',
  'remote_addr',
  'consumer_name',
  'route_name',
  'request_length',
  'bytes_sent',
  'http_x_quotacast_decision_id',
  'llm_model',
  'request_llm_model',
  'llm_prompt_tokens',
  'llm_completion_tokens',
  'sent_http_x_quotacast_denied',
  ...LIMIT_HEADERS.map(name => `upstream_http_${name.replaceAll('-', '_')}`),
]

const logFormat = JSON.stringify(
  { log_format: Object.fromEntries(LOG_FORMAT.map(name => [name, `$${name}`])) },
  null,
  2,
)

const admin = (path: string, body: string) =>
  `curl -sS -X PUT http://127.0.0.1:9180/apisix/admin/${path} -H "X-API-KEY: $ADMIN_KEY" -d '${body}'`

const formatStep: Step = {
  text: 'Let http-logger log variables, so that no header of a request leaves APISIX. This holds for all of its routes. Every key has the name of its variable, as that says the unit.',
  snippet: { language: 'sh', of: () => admin('plugin_metadata/http-logger', logFormat) },
}

const sameFormatStep = (plugin: string): Step => ({
  text: `Set the same \`log_format\` as for http-logger, under \`plugin_metadata/${plugin}\`.`,
})

const SOURCE = { dialect: 'apisix' }

export const apisixGuide: Guide = {
  name: 'apisix',
  title: 'Apache APISIX',
  dialect: 'apisix',
  ways: ['http', 'kafka', 'file'],
  setups: [
    {
      title: 'Over HTTP, with the http-logger plugin',
      steps: [
        formatStep,
        {
          text: 'Switch it on for all routes. Without `max_retry_count` APISIX drops what it cannot send at once.',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) =>
              admin(
                'global_rules/quotacast',
                JSON.stringify(
                  {
                    plugins: {
                      'http-logger': {
                        uri: `${url}/v1/sources/${source}`,
                        auth_header: `Bearer ${token}`,
                        concat_method: 'json',
                        batch_max_size: 200,
                        inactive_timeout: 2,
                        buffer_duration: 60,
                        max_retry_count: 60,
                        retry_delay: 1,
                        timeout: 10,
                        ssl_verify: true,
                      },
                    },
                  },
                  null,
                  2,
                ),
              ),
          },
        },
      ],
    },
    {
      title: 'Through Kafka, with the kafka-logger plugin',
      steps: [
        sameFormatStep('kafka-logger'),
        {
          text: 'Switch it on for all routes:',
          snippet: {
            language: 'sh',
            of: ({ brokers }) => {
              const { host, port } = firstBroker(brokers)
              const plugin = {
                brokers: [{ host, port: Number(port) }],
                kafka_topic: 'apisix-calls',
                required_acks: -1,
                meta_format: 'default',
                batch_max_size: 200,
                inactive_timeout: 2,
                max_retry_count: 60,
                retry_delay: 1,
              }
              return admin('global_rules/quotacast', JSON.stringify({ plugins: { 'kafka-logger': plugin } }, null, 2))
            },
          },
        },
        kafkaStep(SOURCE, 'apisix-calls'),
      ],
    },
    {
      title: 'Through a file, with the file-logger plugin',
      steps: [
        sameFormatStep('file-logger'),
        {
          text: 'Switch it on for all routes:',
          snippet: {
            language: 'sh',
            of: () =>
              admin(
                'global_rules/quotacast',
                JSON.stringify({ plugins: { 'file-logger': { path: 'logs/calls.log' } } }, null, 2),
              ),
          },
        },
        fileStep(SOURCE, '/usr/local/apisix/logs/calls.log'),
      ],
    },
  ],
  asks: apisixAsks,
  notes: [
    'The entry that loggers write without a `log_format` is read as well. It holds all headers of a request, keys among them: what is needed of them becomes a fingerprint, the rest is dropped on arrival.',
    'A `log_format` of your own is read as far as its keys are names of variables.',
    'Set `rejected_code: 429` in the limit plugins: their default of 503 is told from a failure only where the entry holds the headers of the answer.',
    "`X-RateLimit-Limit`, `-Remaining` and `-Reset` in an entry may be APISIX' own or the upstream's, so they are in no `upstreamLimits`; those of AI providers, which name their unit, are.",
    'The lines of `access_log` and the statements of the clickhouse-logger are read too. `meta_format: origin` of the kafka-logger is not: it holds no answer.',
    'A batch of the clickhouse-logger is one line, of which at most 1 MiB is read: leave `batch_max_size` at 200.',
  ],
  hints: {
    requestId: 'Add `"apisix_request_id": "$apisix_request_id"` to the `log_format`, or use the request-id plugin.',
    consumer: 'Add `"consumer_name": "$consumer_name"` to the `log_format`, and use an authentication plugin.',
    upstreamLimits: 'Add the headers of your provider to the `log_format`, as `upstream_http_…`.',
    model: 'Add `"llm_model": "$llm_model"` to the `log_format` of AI routes.',
    inputTokens: 'Add `"llm_prompt_tokens": "$llm_prompt_tokens"` to the `log_format` of AI routes.',
    outputTokens: 'Add `"llm_completion_tokens": "$llm_completion_tokens"` to the `log_format` of AI routes.',
  },
}
