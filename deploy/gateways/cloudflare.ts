/** Cloudflare Logpush. https://developers.cloudflare.com/logs/logpush/logpush-job/enable-destinations/http/ */
import { type Guide, secureUrlOf } from './guide.ts'
import { DENIED_HEADER, LIMIT_HEADERS } from './limit-headers.ts'

const FIELDS = [
  ...['EdgeStartTimestamp', 'EdgeEndTimestamp', 'RayID', 'ClientIP', 'ClientRequestMethod', 'ClientRequestHost'],
  ...['ClientRequestPath', 'ClientRequestBytes', 'EdgeResponseStatus', 'EdgeResponseBytes', 'EdgeColoCode'],
  ...['OriginResponseStatus', 'OriginResponseDurationMs', 'CacheCacheStatus', 'WorkerSubrequest', 'ZoneName'],
  ...['SecurityAction', 'SecurityActions', 'SecuritySources'],
]

export const cloudflareGuide: Guide = {
  name: 'cloudflare',
  title: 'Cloudflare (Logpush, HTTP requests)',
  dialect: 'cloudflare',
  ways: ['http', 'file'],
  setups: [
    {
      title: 'Over HTTPS',
      steps: [
        {
          text: 'Create a job for the zone. Cloudflare needs an HTTPS endpoint with a trusted certificate, and uploads a test at once. Headers are parameters of its URL.',
          snippet: {
            language: 'sh',
            of: to => `curl -sS "https://api.cloudflare.com/client/v4/zones/$ZONE_ID/logpush/jobs" \\
  -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN" -H 'Content-Type: application/json' --data '{
    "name": "quotacast",
    "dataset": "http_requests",
    "destination_conf": "${secureUrlOf(to)}?header_Authorization=Bearer%20${to.token}",
    "output_options": {
      "timestamp_format": "unixnano",
      "field_names": ${JSON.stringify(FIELDS)}
    },
    "max_upload_interval_seconds": 30,
    "max_upload_records": 10000,
    "enabled": true
  }'`,
          },
        },
        {
          text: 'Where a rule that transforms requests sets a header that tells who called, add that header, and the limits of the upstream, as custom fields, in the place of all that the zone has; then add `RequestHeaders` and `ResponseHeaders` to `field_names`. A header with a raw key need not be among them.',
          snippet: {
            language: 'sh',
            of: () => `curl -sS -X PUT "https://api.cloudflare.com/client/v4/zones/$ZONE_ID/rulesets/phases/http_log_custom_fields/entrypoint" \\
  -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN" -H 'Content-Type: application/json' --data '{
    "rules": [{
      "action": "log_custom_field",
      "expression": "true",
      "action_parameters": {
        "transformed_request_fields": [{ "name": "x-consumer-id" }],
        "response_fields": ${JSON.stringify([...LIMIT_HEADERS, DENIED_HEADER].map(name => ({ name })))}
      }
    }]
  }'`,
          },
        },
      ],
    },
  ],
  notes: [
    'Without custom fields nobody knows who called: only addresses, paths and statuses are counted. API tokens that Cloudflare checks (API Shield) are not logged.',
    'A 429 of a rate limiting rule is `limited`, one of the origin is `exhausted`. Rules that only log refuse nothing.',
    'The format `rfc3339`, which the dashboard chooses, has whole seconds: starts and latencies are then no finer.',
    'Requests that a Worker makes while it serves another one are skipped.',
    'Logpush sends again what was not answered, and comes up to a minute late. Do not sample: what is not sent is not counted.',
    '`ClientRequestURI` holds the query and with it keys: `ClientRequestPath` is enough.',
    'Tokens and models are in no field of this dataset: see `cloudflare-ai-gateway`.',
  ],
  hints: {
    consumer:
      'Log the header that names the caller as a custom field, and add `RequestHeaders` to the fields of the job.',
    upstreamLimits:
      'Log the headers of the limits as custom fields, and add `ResponseHeaders` to the fields of the job.',
    upstreamLatencyMs: 'Add `OriginResponseDurationMs` and `OriginResponseStatus` to the fields of the job.',
    latencyMs: 'Add `EdgeEndTimestamp` to the fields of the job.',
  },
}
