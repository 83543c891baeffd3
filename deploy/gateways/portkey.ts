/** Portkey. https://portkey.ai/docs/product/enterprise-offering/otel/analytics and …/product/observability/logs-export */
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
          text: 'In the environment of the gateway. It pushes a span for each provider that it asked, with all that its analytics know: who called, model, tokens, cost.',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) => `OTEL_PUSH_ENABLED=true
OTEL_ENDPOINT=${url}/v1/sources/${source}
OTEL_EXPORTER_OTLP_HEADERS=x-quotacast-token=${token}`,
          },
        },
      ],
    },
    {
      title: 'The hosted gateway, with exports of its logs',
      steps: [
        {
          text: 'Ask for an export by the API of the columns that Quotacast reads, and not of `request` and `response`, which hold prompts. Where yours has more, `virtual_key`, `cache_status`, `request_method` and `stream_mode` are read too.',
          snippet: {
            language: 'json',
            of: () =>
              JSON.stringify(
                {
                  requested_data: [
                    ...['id', 'trace_id', 'created_at', 'request_url', 'response_status_code', 'response_time'],
                    ...['is_success', 'ai_org', 'ai_model', 'req_units', 'res_units', 'total_units', 'cost'],
                    ...['config', 'metadata'],
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
    'A call that asked several providers, one after the other, is a call for each of them; what is tried again with the same provider is not, and is counted in the label `retries`.',
    'Cost is in cents of a US dollar, and is counted as dollars; 0 is unknown, as Portkey writes it for models that it has no price of. The virtual key is the `providerKey`. `_user` of the metadata is the consumer, else the id of the key of Portkey.',
    'Answers from the cache of Portkey spend neither tokens nor cost, as for its own budgets. Exports by the API do not tell them.',
    'Portkey’s own budgets answer 412, which is `limited`. Its own token limits answer 429 as providers do, and name the provider that they kept from being asked: they are `limited` where an export has the `response`, which says whose limit it was, and else `exhausted`.',
    'The experimental spans (`EXPERIMENTAL_GEN_AI_OTEL_TRACES_ENABLED`) are read too, but hold prompts, which are dropped on arrival, and say neither who called nor what it cost. Use one of the two: both at once count each call twice.',
    'A span that does not arrive is not sent again. Exports come late: what they say of the last minutes is nothing. Forecasts need the other way.',
    'Bytes and cached tokens are not told, and exports tell no more of time than `response_time`: until the first token of a stream, all of which the upstream took.',
  ],
  hints: {
    consumer: 'Send `x-portkey-metadata: {"_user": "…"}` with every call, or enforce it in Portkey.',
    tenant: 'Add `tenant` to the metadata of the calls, or export `workspace_slug`.',
    route: 'Export the column `request_url`.',
    method: 'Push spans, or export the column `request_method`.',
    providerKey: 'Push spans, or export the column `virtual_key`.',
  },
}
