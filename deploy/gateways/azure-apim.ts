/** Azure API Management. https://learn.microsoft.com/azure/api-management/api-management-howto-log-event-hubs */
import type { Destination, Guide, Step } from './guide.ts'
import { DENIED_HEADER } from './limit-headers.ts'

const LIMITS = [
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-tokens',
  'retry-after',
  DENIED_HEADER,
]

const LOG = `<log-to-eventhub logger-id="quotacast">@{
    JToken body = null;
    try {
        if (context.Response.Headers.GetValueOrDefault("Content-Type", "").StartsWith("application/json")) {
            body = context.Response.Body?.As<JObject>(preserveContent: true);
        }
    } catch { } // A body that is no JSON tells no tokens; the call is logged all the same.
    var limits = new JObject();
    foreach (var name in new[] { ${LIMITS.map(name => `"${name}"`).join(', ')} }) {
        var value = context.Response.Headers.GetValueOrDefault(name, "");
        if (value != "") { limits[name] = value; }
    }
    return new JObject(
        new JProperty("time", context.Timestamp.ToUniversalTime().ToString("o")),
        new JProperty("durationMs", context.Elapsed.TotalMilliseconds),
        new JProperty("correlationId", context.RequestId),
        new JProperty("callerIpAddress", context.Request.IpAddress),
        new JProperty("method", context.Request.Method),
        new JProperty("url", context.Request.OriginalUrl.Path),
        new JProperty("responseCode", context.Response.StatusCode),
        new JProperty("backendResponseCode", context.Variables.GetValueOrDefault<int>("backendResponseCode", 0)),
        new JProperty("backendTime", context.Variables.GetValueOrDefault<double>("backendTime", 0)),
        new JProperty("backendResponseHeaders", limits),
        new JProperty("apimSubscriptionId", context.Subscription?.Id),
        new JProperty("apiId", context.Api.Id),
        new JProperty("operationId", context.Operation?.Id),
        new JProperty("productId", context.Product?.Id),
        new JProperty("modelName", body?["model"]),
        new JProperty("promptTokens", body?["usage"]?["prompt_tokens"]),
        new JProperty("completionTokens", body?["usage"]?["completion_tokens"]),
        new JProperty("lastErrorReason", context.LastError?.Reason)
    ).ToString(Newtonsoft.Json.Formatting.None);
}</log-to-eventhub>`

/** Event hubs speak Kafka. */
const readStep = (hub: string): Step => ({
  text: 'Let Quotacast read the hub, by the Kafka endpoint that it has (standard tier or above). The password is the connection string of a policy that may listen.',
  snippet: {
    language: 'yaml',
    of: ({ source }: Destination) => `sources:
  ${source}:
    dialect: azure-apim
    receive:
      kind: kafka
      brokers: ['NAMESPACE.servicebus.windows.net:9093']
      topics: ['${hub}']
      tls: {}
      sasl: { mechanism: plain, username: $ConnectionString, password: 'Endpoint=sb://…' }`,
  },
})

export const azureApimGuide: Guide = {
  name: 'azure-apim',
  title: 'Azure API Management',
  dialect: 'azure-apim',
  ways: ['kafka', 'http', 'file'],
  setups: [
    {
      title: 'A policy that logs to an event hub',
      steps: [
        {
          text: 'Create an event hub and a logger `quotacast` for it, as the documentation of API Management says. Then, for all APIs, remember when the backend was asked:',
          snippet: {
            language: 'xml',
            of: () => `<inbound>
    <base />
    <set-variable name="backendStart" value="@(context.Elapsed.TotalMilliseconds)" />
</inbound>
<outbound>
    <set-variable name="backendResponseCode" value="@(context.Response.StatusCode)" />
    <set-variable name="backendTime" value="@(context.Elapsed.TotalMilliseconds - (double)context.Variables["backendStart"])" />
    <base />
    <!-- the policy below -->
</outbound>
<on-error>
    <base />
    <!-- the policy below -->
</on-error>`,
          },
        },
        {
          text: 'and log, at the end of `outbound` and of `on-error`. Bodies that are no JSON, streams above all, are left alone.',
          snippet: { language: 'xml', of: () => LOG },
        },
        readStep('apim-calls'),
      ],
    },
    {
      title: 'Diagnostic settings',
      steps: [
        {
          text: 'Without a change of policies: add a diagnostic setting to the service that streams the categories `GatewayLogs` and `GatewayLlmLogs` to one and the same event hub. It is minutes late.',
        },
        readStep('apim-calls'),
      ],
    },
    {
      title: 'Over HTTP',
      steps: [
        {
          text: 'A function or a Logic App with a trigger of the hub, or of the container that a diagnostic setting writes to, may send what it got as it is:',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) =>
              `curl -sS ${url}/v1/sources/${source} -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' --data-binary @records.json`,
          },
        },
      ],
    },
  ],
  notes: [
    'The consumer is the id of the subscription, never its key; the key of a call without a subscription becomes a fingerprint.',
    'A 429 or 403 of the policies `rate-limit`, `quota` and `llm-token-limit` is `limited`; a 429 of the backend is `exhausted`.',
    'Tokens of streamed answers: `GatewayLlmLogs` has them, as records of their own; they are joined to their call where both come in one message, and are lost otherwise.',
    'Diagnostic settings tell the size of requests and responses, the policy does not. Use one of the two, not both.',
    'In diagnostic settings leave headers and bodies out, or at least `Ocp-Apim-Subscription-Key` and `Authorization`.',
  ],
  hints: {
    consumer: 'Let APIs require a subscription.',
    inputTokens: 'Use the `log-to-eventhub` policy, or the category `GatewayLlmLogs`.',
    outputTokens: 'Use the `log-to-eventhub` policy, or the category `GatewayLlmLogs`.',
    upstreamLimits: 'Use the `log-to-eventhub` policy: it logs the headers with the limits of the backend.',
    requestBytes: 'Only diagnostic settings tell it.',
    responseBytes: 'Only diagnostic settings tell it.',
  },
}
