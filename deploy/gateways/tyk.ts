/** Tyk. https://tyk.io/docs/api-management/tyk-pump/ */

import type { Guide } from './guide.ts'
import { fileStep, kafkaStep } from './line-setups.ts'
import { tykAsks } from './tyk-asks.ts'

const PUMP_FIELDS = [
  ...['method', 'host', 'path', 'raw_path', 'content_length', 'response_code', 'api_key', 'time_stamp', 'api_name'],
  ...['api_id', 'org_id', 'oauth_id', 'request_time', 'ip_address', 'latency', 'tags', 'alias'],
]

const SOURCE = { dialect: 'tyk' }

export const tykGuide: Guide = {
  name: 'tyk',
  title: 'Tyk',
  dialect: 'tyk',
  ways: ['http', 'kafka', 'file'],
  setups: [
    {
      title: 'Over HTTP, with the Splunk pump',
      steps: [
        {
          text: 'Hash keys in `tyk.conf`, so that the gateway itself keeps none, and record calls:',
          snippet: {
            language: 'json',
            of: () => `{
  "hash_keys": true,
  "hash_key_function": "murmur64",
  "enable_analytics": true,
  "analytics_config": { "type": "redis", "enable_detailed_recording": false }
}`,
          },
        },
        {
          text: "Add the pump to `pump.conf`. Quotacast answers as Splunk's event collector does; the query of the URL names the source.",
          snippet: {
            language: 'json',
            of: ({ url, source, token }) =>
              JSON.stringify(
                {
                  pumps: {
                    splunk: {
                      type: 'splunk',
                      omit_detailed_recording: true,
                      meta: {
                        collector_token: token,
                        collector_url: `${url}/?source=${source}`,
                        enable_batch: true,
                        fields: PUMP_FIELDS,
                      },
                    },
                  },
                },
                null,
                2,
              ),
          },
        },
      ],
    },
    {
      title: 'Through Kafka, with the Kafka pump',
      steps: [
        {
          text: 'Add the pump to `pump.conf`:',
          snippet: {
            language: 'json',
            of: ({ brokers }) =>
              JSON.stringify(
                {
                  pumps: {
                    kafka: {
                      type: 'kafka',
                      omit_detailed_recording: true,
                      meta: { broker: brokers.split(','), client_id: 'tyk-pump', topic: 'tyk-calls', timeout: 60 },
                    },
                  },
                },
                null,
                2,
              ),
          },
        },
        kafkaStep(SOURCE, 'tyk-calls'),
      ],
    },
    {
      title: "Through a file, with the gateway's access log",
      steps: [
        {
          text: 'Switch it on, in JSON, and write the output of the gateway into a file (or leave that to the container runtime):',
          snippet: {
            language: 'sh',
            of: () => `export TYK_LOGFORMAT=json
export TYK_GW_ACCESSLOGS_ENABLED=true
export TYK_GW_HASHKEYS=true
tyk >> /var/log/tyk/gateway.log 2>&1`,
          },
        },
        fileStep(SOURCE, '/var/log/tyk/gateway.log'),
      ],
    },
  ],
  asks: tykAsks,
  notes: [
    '`consumer` is the alias of the key, else its OAuth client, else the id of the credential: the hash of the key, or its last characters. A key that Tyk did not hash becomes its fingerprint. Hashes and aliases can be listed in `keys`.',
    'The organisation of Tyk is the label `organisation`. Whose a call is, the `tenant` of the source or of `keys` says.',
    'The Kafka pump writes no latencies of the upstream, so that a 429 is always `limited`. The Splunk pump writes them with the `fields` above.',
    'A quota of Tyk that is used up is a 403. The access log (5.10 and later) tells it from other ones, and it is then `limited`; in records of the pump it is `client_error`.',
    'Times are those of the end of a call; the access log has no more than the second.',
    'Tyk has no id of a request but that of the trace: set `"opentelemetry": { "enabled": true }`. Without one, a batch that a pump sends again may be counted twice if it comes in other company.',
    'Detailed recording puts whole messages into the records, credentials included: they are dropped on arrival and never kept in a rejection, but should not be sent at all.',
    'The syslog pump writes the text of Go maps, in which nobody can tell where a value ends: it is refused.',
  ],
  hints: {
    requestId: 'Enable OpenTelemetry in the gateway: records then carry the id of the trace.',
    upstreamLatencyMs:
      'Use the Splunk pump with `latency` among its `fields`, or the access log: the Kafka pump does not write it.',
    consumer: 'Give keys an alias.',
  },
}
