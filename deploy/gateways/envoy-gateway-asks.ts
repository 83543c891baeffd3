/**
 * https://gateway.envoyproxy.io/docs/tasks/security/ext-auth/ and, for the context extensions,
 * https://gateway.envoyproxy.io/docs/api/extension_types/#contextextension
 */
import type { Destination, Setup } from './guide.ts'

const TARGET = '- { group: gateway.networking.k8s.io, kind: Gateway, name: eg }'

const policies = ({ source, token, limiterHost, limiterGrpcPort }: Destination) => `apiVersion: v1
kind: Secret
metadata: { name: quotacast, namespace: default }
stringData: { token: ${token} }
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: { name: quotacast, namespace: default }
spec:
  targetRefs:
    ${TARGET}
  extAuth:
    # Without an answer calls pass; false refuses them with 403.
    failOpen: true
    timeout: 200ms
    grpc:
      backendRefs:
        - { name: ${limiterHost}, port: ${limiterGrpcPort} }
    contextExtensions:
      - name: x-quotacast-token
        type: ValueRef
        valueRef: { group: "", kind: Secret, name: quotacast, key: token }
      - { name: gateway, type: Value, value: ${source} }
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: { name: quotacast, namespace: default }
spec:
  targetRefs:
    ${TARGET}
  headers:
    earlyRequestHeaders:
      # Only the limiter says what a call was asked with.
      remove: [x-quotacast-decision-id]`

export const securityPolicySetup: Setup = {
  title: 'Envoy Gateway, with a SecurityPolicy',
  steps: [
    {
      text: 'For the Gateway `eg`, of Envoy Gateway 1.7 or later; the backend is the Service of the limiter, which in another namespace needs `namespace` here and a ReferenceGrant there. Callers are the fingerprints of their keys (`Authorization`, `X-Api-Key`), which `keys` gives names. Further context extensions are what the questions say beside the call (`tenant`, `consumer`, and every dimension of quotas).',
      snippet: { language: 'yaml', of: policies },
    },
    {
      text: 'The log of the pods, as above, tells the consumer, the tenant, and the id of the decision that joins a call to its question.',
    },
  ],
}
