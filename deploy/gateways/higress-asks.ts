/** https://higress.cn/en/docs/latest/plugins/authentication/ext-auth/ */
import type { AskingSetup, Destination } from './guide.ts'

const wasmPlugin = ({
  limiterHost,
  limiterPort,
  source,
  token,
}: Destination) => `apiVersion: extensions.higress.io/v1alpha1
kind: WasmPlugin
metadata:
  name: quotacast-asks
  namespace: higress-system
spec:
  url: oci://higress-registry.cn-hangzhou.cr.aliyuncs.com/plugins/ext-auth:2.0.3
  phase: AUTHZ
  defaultConfig:
    http_service:
      endpoint_mode: forward_auth
      endpoint:
        service_name: ${limiterHost}.dns
        service_port: ${limiterPort}
        path: /v1/auth
        request_method: GET
      timeout: 500
      authorization_request:
        allowed_headers:
          - exact: x-api-key
          - exact: x-mse-consumer
        headers_to_add:
          X-Quotacast-Token: "${token}"
          X-Quotacast-Gateway: ${source}
      authorization_response:
        allowed_upstream_headers:
          - exact: x-quotacast-decision-id
        allowed_client_headers:
          - exact: retry-after
          - exact: ratelimit
          - exact: ratelimit-policy
          - exact: content-type
          - exact: x-quotacast-denied
    # Without an answer calls pass.
    failure_mode_allow: true`

const clientIdDropped = () => `apiVersion: extensions.higress.io/v1alpha1
kind: WasmPlugin
metadata:
  name: quotacast-ids
  namespace: higress-system
spec:
  url: oci://higress-registry.cn-hangzhou.cr.aliyuncs.com/plugins/transformer:2.0.3
  # Before the plugin that asks.
  phase: AUTHN
  priority: 410
  defaultConfig:
    reroute: false
    reqRules:
      - operate: remove
        headers:
          - key: x-quotacast-decision-id`

export const higressAsks: readonly AskingSetup[] = [
  {
    title: 'With the plugin ext-auth',
    run: { by: 'nobody' },
    steps: [
      {
        text: 'Make a service source of the kind DNS for the limiter, and apply this. A consumer that key-auth found is in `x-mse-consumer`: say so in the config of Quotacast (`limiter.callers.forwardAuth.consumer: ["header:x-quotacast-consumer", "header:x-mse-consumer"]`), or the question spends from the quota of a key and the record from that of its consumer. Where nobody names a consumer, callers are limited by their keys: what a call took stays with whom the question knew, as the log does not say it, and forecasts see calls of nobody.',
        snippet: { language: 'yaml', of: wasmPlugin },
      },
      {
        text: 'And this, or while the limiter is away a client could send the id of another decision, and its call would be counted as that one:',
        snippet: { language: 'yaml', of: clientIdDropped },
      },
      { text: 'The format of the log above tells the id of the decision, which joins a call to its question.' },
    ],
  },
]
