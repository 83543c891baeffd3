import type { Guide } from './guide.ts'
import { LIMIT_VARIABLES } from './limit-headers.ts'
import { shipperSetup, syslogStep } from './line-setups.ts'

const SOURCE = { dialect: 'ingress-nginx' }
const LOG_FILES = '/var/log/containers/ingress-nginx-controller-*.log'

export const ingressNginxGuide: Guide = {
  name: 'ingress-nginx',
  title: 'ingress-nginx',
  dialect: 'ingress-nginx',
  ways: ['syslog', 'otlp'],
  setups: [
    {
      title: 'By syslog',
      steps: [
        {
          text: "Set these in the ConfigMap of the controller: JSON with the names of the variables, and where it goes instead of its output. Keys longer than 60 characters need `map-hash-bucket-size: '256'` beside it.",
          snippet: {
            language: 'yaml',
            of: ({ host, syslogPort }) => `apiVersion: v1
kind: ConfigMap
metadata: { name: ingress-nginx-controller, namespace: ingress-nginx }
data:
  enable-syslog: 'true'
  syslog-host: '${host}'
  syslog-port: '${syslogPort}'
  # The path that the client asked for, without the query, where keys may be; and a name for each key.
  http-snippet: |
    map $request_uri $quotacast_route { "~^(?<quotacast_path>[^?]*)" $quotacast_path; }
    map $http_x_api_key $quotacast_consumer { default ""; "the key of acme" acme; }
  log-format-escape-json: 'true'
  log-format-upstream: >-
    {"msec":$msec,"req_id":"$req_id","remote_addr":"$remote_addr","consumer":"$quotacast_consumer",
    "request_method":"$request_method","host":"$host","route":"$quotacast_route","status":"$status",
    "request_completion":"$request_completion",
    "request_time":$request_time,"request_length":$request_length,"bytes_sent":$bytes_sent,
    "service_name":"$service_name","namespace":"$namespace","ingress_name":"$ingress_name",
    "upstream_status":"$upstream_status","upstream_response_time":"$upstream_response_time",
    "sent_http_x_quotacast_denied":"$sent_http_x_quotacast_denied",
    "limit_req_status":"$limit_req_status","limit_conn_status":"$limit_conn_status",
${LIMIT_VARIABLES.map(name => `    "${name}":"$${name}"`).join(',\n')}}`,
          },
        },
        syslogStep(SOURCE, 'udp'),
      ],
    },
    shipperSetup(LOG_FILES),
  ],
  notes: [
    'The default format, `upstreaminfo`, is understood as it is: it tells everything but the host, who called, and what providers say of their limits, and it leaves queries, with the keys in them, in the log of the controller.',
    'nginx does not see tokens. Where the upstream says them in headers of its answer, log these under the names of the record (`"input_tokens":"$upstream_http_x_input_tokens"`, `output_tokens`, `model`); a streamed answer, whose headers leave before its tokens are known, has none. Else ship the log of the AI gateway behind ingress-nginx, or the spans of the program, and not this one.',
    'Messages of the controller and lines of the error log are passed over.',
    'A 429 is the upstream’s (`exhausted`) where `upstream_status` is 429 too, else one of the annotations `limit-rps`, `limit-rpm` and `limit-connections` (`limited`), which answer 503 unless `limit-req-status-code` is set.',
  ],
  hints: {
    consumer: 'Set `log-format-upstream` as the page of ingress-nginx shows, with a name for each key.',
    host: 'Set `log-format-upstream` as the page of ingress-nginx shows: `upstreaminfo` has no host.',
    upstreamLimits: 'Add `$upstream_http_x_ratelimit_…` to `log-format-upstream`.',
    inputTokens: 'Log the header of the upstream that says it, if there is one, as `input_tokens`.',
    outputTokens: 'Log the header of the upstream that says it, if there is one, as `output_tokens`.',
  },
}
