/** https://agentgateway.dev/docs/standalone/latest/configuration/security/external-authz/ */
import type { AskingSetup, Destination } from './guide.ts'

/** Values are expressions in CEL. One that cannot be evaluated, as of a caller without a key, adds no header. */
const policy = ({ limiterHost, limiterPort, source, token }: Destination) => `extAuthz:
  host: ${limiterHost}:${limiterPort}
  # Without an answer calls pass; deny refuses them with 403.
  failureMode: allow
  policies:
    http:
      requestTimeout: 500ms
  includeRequestHeaders: [authorization, x-api-key]
  protocol:
    http:
      path: '"/v1/auth"'
      addRequestHeaders:
        x-quotacast-token: '"${token}"'
        x-quotacast-gateway: '"${source}"'
        x-quotacast-consumer: apiKey.consumer
        x-quotacast-tenant: apiKey.tenant
        x-quotacast-client-ip: source.address
        x-forwarded-uri: request.path
      metadata:
        consumer: default(response.headers["x-quotacast-consumer"], "")
        decision_id: default(response.headers["x-quotacast-decision-id"], "")`

const log = ({ source }: Destination) => `frontendPolicies:
  accessLog:
    add:
      gateway: '"${source}"'
      consumer: default(apiKey.consumer, extauthz.consumer)
      decision_id: extauthz.decision_id`

export const agentgatewayAsks: readonly AskingSetup[] = [
  {
    title: 'With extAuthz',
    run: { by: 'nobody' },
    steps: [
      {
        text: 'Put this into the `policies` of the route, of the listener, or of `llm`. Callers are known by the metadata of their API keys, else by the fingerprints of the keys; leave out the headers whose expressions you do not have. Denials reach clients as the limiter gives them.',
        snippet: { language: 'yaml', of: policy },
      },
      {
        text: 'Add these to the fields of the access log. The id joins a call to its question, the consumer and the gateway make both spend from one quota.',
        snippet: { language: 'yaml', of: log },
      },
      {
        text: 'With spans add `quotacast.decision_id: extauthz.decision_id` and the same `consumer` to the `attributes` of `tracing` instead.',
      },
    ],
  },
]
