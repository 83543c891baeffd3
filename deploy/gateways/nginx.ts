import type { Guide } from './guide.ts'
import { LIMIT_VARIABLES } from './limit-headers.ts'
import { fileStep, rsyslogSetup, shipperSetup, syslogStep } from './line-setups.ts'
import { nginxAsks } from './nginx-asks.ts'

const SOURCE = { dialect: 'nginx' }
const LOG_FILE = '/var/log/nginx/quotacast.log'
const LOG_FILES = '/var/log/nginx/quotacast.log*'

/** Names are nginx's own, so that they say what they mean; whatever may be missing stands in quotes. */
const LOG_FORMAT = `# The path that the client asked for, without the query, where keys may be.
map $request_uri $quotacast_route { "~^(?<quotacast_path>[^?]*)" $quotacast_path; }
# Who calls: a name for each key. Where auth_basic checks users, they are names too: default $remote_user;
map $http_x_api_key $quotacast_consumer { default ""; "the key of acme" acme; }
# Whom it names not, the limiter does, where it is asked.
map "" $quotacast_asked { default ""; }
map $quotacast_consumer $quotacast_caller { default $quotacast_consumer; "" $quotacast_asked; }

log_format quotacast escape=json '{"msec":$msec,"request_id":"$request_id","remote_addr":"$remote_addr",'
  '"consumer":"$quotacast_caller","request_method":"$request_method","host":"$host","route":"$quotacast_route",'
  '"status":"$status","request_completion":"$request_completion","request_time":$request_time,"request_length":$request_length,"bytes_sent":$bytes_sent,'
  '"proxy_host":"$proxy_host","upstream_status":"$upstream_status","upstream_response_time":"$upstream_response_time",'
  '"upstream_cache_status":"$upstream_cache_status","limit_req_status":"$limit_req_status",'
  '"limit_conn_status":"$limit_conn_status","upstream_http_retry_after":"$upstream_http_retry_after",'
  '"sent_http_x_quotacast_denied":"$sent_http_x_quotacast_denied"}';`

const limitVariables = LIMIT_VARIABLES.filter(name => !LOG_FORMAT.includes(name))

const formatStep = {
  text: 'Put this into the block `http`. Keys longer than 60 characters need `map_hash_bucket_size 256;` beside it.',
  snippet: { language: 'nginx', of: () => LOG_FORMAT },
}

export const nginxGuide: Guide = {
  name: 'nginx',
  title: 'nginx, OpenResty, Angie, Tengine',
  dialect: 'nginx',
  ways: ['file', 'syslog', 'otlp'],
  setups: [
    {
      title: 'From a file',
      steps: [
        formatStep,
        {
          text: 'Put this beside it. A server or location with an `access_log` of its own needs the line again.',
          snippet: { language: 'nginx', of: () => `access_log ${LOG_FILE} quotacast;` },
        },
        fileStep(SOURCE, LOG_FILES),
      ],
    },
    {
      title: 'By syslog',
      steps: [
        formatStep,
        {
          text: 'Put this beside it.',
          snippet: {
            language: 'nginx',
            of: ({ host, syslogPort }) => `access_log syslog:server=${host}:${syslogPort},tag=nginx quotacast;`,
          },
        },
        syslogStep(SOURCE, 'udp'),
      ],
    },
    rsyslogSetup(SOURCE, LOG_FILE),
    shipperSetup(LOG_FILES),
    {
      title: 'In front of AI providers',
      steps: [
        {
          text: 'Add what providers say of their limits: put this before the last line of the `log_format`.',
          snippet: {
            language: 'nginx',
            of: () => limitVariables.map(name => `  '"${name}":"$${name}",'`).join('\n'),
          },
        },
        {
          text: 'nginx does not see tokens. Lua or njs that reads them from answers can add `provider`, `model`, `input_tokens`, `cached_input_tokens` and `output_tokens` to the format; all names of the record are understood in snake_case.',
        },
      ],
    },
  ],
  asks: nginxAsks,
  notes: [
    '`combined`, and JSON of other formats with `escape=json` whose names are those of the variables (`request_uri`, `time_iso8601`, `upstream_response_time`, …), are understood as well. `combined` has no latency, no id and no service.',
    'nginx logs a call when it ends; the start is that less `request_time`. Of a retried call the times of all attempts are summed.',
    'A call whose client went before the end of the answer is `aborted`: its status is 499 or, once the headers were sent, theirs with an empty `request_completion`.',
    'A 429 is the provider’s (`exhausted`) where `upstream_status` is 429 too, else one of nginx’ own limits (`limited`), which answer 503 unless `limit_req_status` is set.',
    'Never log `$http_authorization` or `$request_uri`. Where keys cannot be named in a `map`, `"credential":"$http_x_api_key"` makes callers their fingerprints, but leaves the keys in the log of nginx.',
  ],
  hints: {
    consumer: 'Name the keys in `map $http_x_api_key $quotacast_consumer`, and log it as `consumer`.',
    requestId: 'Log `$request_id`.',
    latencyMs: 'Log `$request_time`.',
    upstreamLatencyMs: 'Log `$upstream_response_time` and `$upstream_status`.',
    upstreamLimits: 'Log `$upstream_http_x_ratelimit_…`, as the page of nginx shows.',
    service: 'Log `$proxy_host`.',
    requestBytes: 'Log `$request_length`.',
    host: 'Log `$host`.',
  },
}
