/** https://istio.io/latest/docs/reference/config/networking/envoy-filter/ */
import { askFilter, CLIENT_ID_DROPPED, limiterCluster, whoAsks } from './envoy-asks.ts'
import { indented } from './envoy-format.ts'
import type { AskingSetup, Destination } from './guide.ts'

/** Begins the patches of Istio's ingress gateway with a cluster, which is written `CLUSTER_INDENT` deep. */
export const filterWith = (name: string, cluster: string): string => `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: ${name}
  namespace: istio-system
spec:
  workloadSelector:
    labels:
      istio: ingressgateway
  configPatches:
    - applyTo: CLUSTER
      match: { context: GATEWAY }
      patch:
        operation: ADD
        value:
${cluster}`
/** In a list of patches. */
export const CLUSTER_INDENT = 10

/** Begins the patch of what receives calls; what it sets follows, 12 deep. */
export const CONNECTION_MANAGER_PATCH = `    - applyTo: NETWORK_FILTER
      match:
        context: GATEWAY
        listener: { filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } }
      patch:
        operation: MERGE
        value:
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`

const filters = (to: Destination) => `${filterWith('quotacast-asks', limiterCluster(to, CLUSTER_INDENT))}
    - applyTo: HTTP_FILTER
      match:
        context: GATEWAY
        listener:
          filterChain:
            filter:
              name: envoy.filters.network.http_connection_manager
              subFilter: { name: envoy.filters.http.router }
      patch:
        operation: INSERT_BEFORE
        value:
${indented(10, askFilter(to))}
${CONNECTION_MANAGER_PATCH}
${indented(12, CLIENT_ID_DROPPED)}
    # What its questions say beside the call.
    - applyTo: VIRTUAL_HOST
      match: { context: GATEWAY }
      patch:
        operation: MERGE
        value:
${indented(10, whoAsks(to))}`

export const istioAsks: readonly AskingSetup[] = [
  {
    title: 'With ext_authz',
    run: { by: 'nobody' },
    steps: [
      {
        text: 'Istio’s own providers for the action `CUSTOM` send no token over gRPC, so Envoy is told by itself. Callers are the fingerprints of their keys (`Authorization`, `X-Api-Key`), which `keys` gives names; what Quotacast says of them comes with denials and answers alike.',
        snippet: { language: 'yaml', of: filters },
      },
      {
        text: 'The log, whose format is above, then tells the consumer, the tenant, and the id of the decision that joins a call to its question.',
      },
    ],
  },
]
