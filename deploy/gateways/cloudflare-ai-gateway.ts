/** Cloudflare AI Gateway. https://developers.cloudflare.com/ai-gateway/observability/otel-integration/ */
import { type Guide, secureUrlOf } from './guide.ts'

export const cloudflareAiGatewayGuide: Guide = {
  name: 'cloudflare-ai-gateway',
  title: 'Cloudflare AI Gateway',
  dialect: 'cloudflare-ai-gateway',
  ways: ['otlp', 'http', 'file'],
  setups: [
    {
      title: 'With OpenTelemetry',
      steps: [
        {
          text: 'In the settings of the gateway add an OpenTelemetry exporter with this URL, this header and the content type `json`:',
          snippet: {
            language: 'text',
            of: to => `URL:    ${secureUrlOf(to)}/v1/traces
Header: Authorization: Bearer ${to.token}`,
          },
        },
        {
          text: 'Let callers, or the Worker before the gateway, say who they are; and do not store what is said:',
          snippet: {
            language: 'text',
            of: () => `cf-aig-metadata: {"consumer": "shop", "tenant": "acme"}
cf-aig-collect-log-payload: false`,
          },
        },
      ],
    },
    {
      title: 'From the API of its logs',
      steps: [
        {
          text: 'For what was before, page by page; accounts made since 24 September 2026 have no such API. What comes again is counted once.',
          snippet: {
            language: 'sh',
            of: ({
              url,
              source,
              token,
            }) => `curl -sS "https://api.cloudflare.com/client/v4/accounts/$ACCOUNT_ID/ai-gateway/gateways/$GATEWAY_ID/logs?per_page=50&page=1" \\
  -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN" |
curl -sS ${url}/v1/sources/${source} -H 'Authorization: Bearer ${token}' --data-binary @-`,
          },
        },
      ],
    },
    {
      title: 'With Workers Logpush',
      steps: [
        {
          text: 'A job of the dataset `ai_gateway_events` can send to Quotacast as other jobs do. Its metadata and bodies are encrypted with your key, so that neither callers nor tokens are known.',
          snippet: {
            language: 'text',
            of: to => `${secureUrlOf(to)}?header_Authorization=Bearer%20${to.token}`,
          },
        },
      ],
    },
  ],
  notes: [
    'Use one of these ways: a call has another id in each of them, and would be counted in each.',
    'Spans have no status and no path; the API has both, and says of each answer whether it came from the cache.',
    'Cost is what Cloudflare estimates, in US dollars. An answer from the cache spends neither tokens nor money, where the log says that it came from there.',
    'Keys are never logged: callers are known by the metadata that they send.',
  ],
  hints: {
    consumer: 'Send `cf-aig-metadata` with `consumer` or `user_id`.',
    tenant: 'Send `cf-aig-metadata` with `tenant` or `team`.',
    status: 'Spans have none; the API of the logs does.',
  },
}
