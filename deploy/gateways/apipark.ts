/** APIPark and Apinto. https://help.apinto.com/docs/apinto/plugins/http-log */
import type { Guide } from './guide.ts'
import { fileStep, kafkaStep } from './line-setups.ts'

/** Neither headers of requests nor bodies are among them. */
const FIELDS = [
  ...['$msec', '$request_id', '$request_method', '$uri as request_uri', '$host as request_host', '$src_ip', '$status'],
  ...[
    '$proxy_status',
    '$request_time',
    '$response_time',
    '$response_headers',
    '$request_length',
    '$response_length',
    '$service',
    '$api',
  ],
  ...['$provider', '$application', '$authorization', '$cluster', '$node', '$block_name as strategy'],
  ...['$http_x_quotacast_decision_id as decision_id', '$ai_provider', '$ai_model', '$ai_model_input_token'],
  ...['$ai_model_output_token', '$ai_model_total_token'],
]

const output = (attributes: Record<string, unknown>) =>
  `curl -sS -X POST http://127.0.0.1:9400/api/output -H 'Content-Type: application/json' -d '${JSON.stringify(
    { name: 'quotacast', ...attributes, scopes: ['access_log'], type: 'json', formatter: { fields: FIELDS } },
    null,
    2,
  )}'`

const SOURCE = { dialect: 'apipark' }

export const apiparkGuide: Guide = {
  name: 'apipark',
  title: 'APIPark and Apinto',
  dialect: 'apipark',
  ways: ['http', 'kafka', 'file'],
  setups: [
    {
      title: 'Over HTTP, with the output `http_output`',
      steps: [
        {
          text: "Create the output through the Admin API of the gateway (of every cluster). Its `access_log` plugin must be on, as APIPark has it. APIPark's own output to Loki stays as it is.",
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) =>
              output({
                driver: 'http_output',
                method: 'POST',
                url: `${url}/v1/sources/${source}`,
                headers: { Authorization: `Bearer ${token}` },
              }),
          },
        },
      ],
    },
    {
      title: 'Through Kafka, with the output `kafka_output`',
      steps: [
        {
          text: 'Create the output:',
          snippet: {
            language: 'sh',
            of: ({ brokers }) =>
              output({ driver: 'kafka_output', address: brokers, topic: 'apinto-calls', timeout: 10 }),
          },
        },
        kafkaStep(SOURCE, 'apinto-calls'),
      ],
    },
    {
      title: 'Through a file, with the output `file_output`',
      steps: [
        {
          text: 'Create the output:',
          snippet: {
            language: 'sh',
            of: () =>
              output({ driver: 'file_output', dir: '/var/log/apinto', file: 'calls', period: 'day', expire: 3 }),
          },
        },
        fileStep(SOURCE, '/var/log/apinto/calls*.log'),
      ],
    },
  ],
  notes: [
    'APIPark cannot ask by itself: no plugin of Apinto asks another service before each call. (`counter` asks how many calls a key has left when those that it knew of are gone, and refuses with 416.) Put a gateway that asks before it, as nginx or Envoy, ship the log of only one of the two, and let that gateway hand on `X-Quotacast-Decision-Id` in the place of what clients send. Where none is before it, leave that field out of the format: clients could send ids of their own.',
    'Apinto sends each call once and drops what is not answered with 200: use Kafka or a file where nothing may be lost.',
    '`consumer` is the application; without one it is the fingerprint of the key, if headers of requests are logged (`$header` or `$headers`).',
    'The fields that APIPark itself sends are read too. They hold the headers of requests and all bodies: tokens and errors are taken out of the bodies of answers, the rest is dropped on arrival.',
    'A call that APIPark refused because a provider has refused all of its keys (`Keys Temporarily Exhausted`) is `exhausted`: that needs `$response_body`, with which answers leave the gateway.',
    'Apinto of before 2024 writes the second of the end into `$msec`, and milliseconds into `$response_time`; newer ones the millisecond of the start, and nanoseconds. Both are read.',
    'An output of the type `line` is refused: its fields have no names.',
  ],
  hints: {
    consumer: 'Give callers an application in APIPark.',
    upstreamLimits: 'Add `$response_headers` to the fields of the output.',
    decisionId: 'Add `$http_x_quotacast_decision_id as decision_id` to the fields of the output.',
  },
}
