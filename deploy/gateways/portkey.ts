/** Portkey. https://portkey.ai/docs/product/observability/logs-export */
import type { Guide } from './guide.ts'

export const portkeyGuide: Guide = {
  name: 'portkey',
  title: 'Portkey',
  dialect: 'portkey',
  ways: ['otlp', 'http', 'file'],
  setups: [
    {
      title: 'A self-hosted gateway, with OpenTelemetry (Enterprise)',
      steps: [
        {
          text: 'In the environment of the gateway:',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) => `EXPERIMENTAL_GEN_AI_OTEL_TRACES_ENABLED=true
EXPERIMENTAL_GEN_AI_OTEL_EXPORTER_OTLP_ENDPOINT=${url}/v1/sources/${source}
EXPERIMENTAL_GEN_AI_OTEL_EXPORTER_OTLP_HEADERS=x-quotacast-token=${token}`,
          },
        },
      ],
    },
    {
      title: 'The hosted gateway, with exports of its logs',
      steps: [
        {
          text: 'Ask for an export (in the app, or by the API) of the columns that Quotacast reads, and not of `request` and `response`, which hold prompts:',
          snippet: {
            language: 'json',
            of: () =>
              JSON.stringify(
                {
                  requested_data: [
                    ...['id', 'trace_id', 'created_at', 'request_method', 'request_url', 'response_status_code'],
                    ...['response_time', 'is_success', 'ai_org', 'ai_model', 'req_units', 'res_units', 'total_units'],
                    ...['cost', 'virtual_key', 'cache_status', 'stream_mode', 'config', 'metadata'],
                  ],
                },
                null,
                2,
              ),
          },
        },
        {
          text: 'Import it, or send it. Exports that overlap count no call twice.',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) => `npm run quotacast -- import --source ${source} export.jsonl
# or
curl -sS ${url}/v1/sources/${source} -H 'Authorization: Bearer ${token}' \\
  -H 'Content-Type: application/x-ndjson' --data-binary @export.jsonl`,
          },
        },
      ],
    },
  ],
  notes: [
    'The open-source gateway writes no log that could be shipped: ask Quotacast from a plugin, or put a gateway before it that logs.',
    'Cost is in cents of a US dollar in exports, and is counted as dollars. The virtual key is the `providerKey`; `_user` of the metadata is the consumer.',
    'Spans say neither who called nor what it cost, and one that does not arrive is not sent again. They hold prompts, which are dropped on arrival.',
    'Exports come late: what they say of the last minutes is nothing. Forecasts need one of the other ways.',
    '`response_time` is all there is of time, so that the upstream took all of it. Cached tokens and bytes are not told.',
    "Portkey's own budgets answer 412, its rate limits 429: both are `limited`, as no provider was asked.",
  ],
  hints: {
    consumer: 'Send `x-portkey-metadata: {"_user": "…"}` with every call, or enforce it in Portkey.',
    tenant: 'Add `tenant` to the metadata of the calls, or export `workspace_slug`.',
    route: 'Export the column `request_url`.',
    method: 'Export the column `request_method`.',
    providerKey: 'Export the column `virtual_key`.',
  },
}
