/** https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/ext_authz_filter */
import { grpcClusterOf, indented } from './envoy-format.ts'
import type { AskingSetup, Destination } from './guide.ts'

const CLUSTER = 'quotacast_limiter'
const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http'

/** The cluster of the limiter's gRPC port. */
export const limiterCluster = ({ limiterHost, limiterGrpcPort }: Destination, indent: number): string =>
  grpcClusterOf(CLUSTER, limiterHost, limiterGrpcPort, indent)

const clusters = (to: Destination) => `clusters:
  - ${limiterCluster(to, 4).trimStart()}`

const clusterStep = { text: 'Among the clusters:', snippet: { language: 'yaml', of: clusters } }

export const askFilter = ({ token }: Destination): string => `name: envoy.filters.http.ext_authz
typed_config:
  "@type": ${FILTERS}.ext_authz.v3.ExtAuthz
  transport_api_version: V3
  # Without an answer calls pass; false refuses them with 403.
  failure_mode_allow: true
  grpc_service:
    envoy_grpc: { cluster_name: ${CLUSTER} }
    timeout: 0.2s
    initial_metadata:
      - { key: x-quotacast-token, value: "${token}" }`

/** A member of every connection manager. While nobody can be asked, a client's own id would be that of the call. */
export const CLIENT_ID_DROPPED = `early_header_mutation_extensions:
  - name: envoy.http.early_header_mutation.header_mutation
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
      mutations:
        # Only the limiter says what a call was asked with.
        - remove: x-quotacast-decision-id`

const externalAuthorization = (to: Destination) => `${CLIENT_ID_DROPPED}
http_filters:
  - ${indented(4, askFilter(to)).trimStart()}`

export const whoAsks = ({ source }: Destination): string => `typed_per_filter_config:
  envoy.filters.http.ext_authz:
    "@type": ${FILTERS}.ext_authz.v3.ExtAuthzPerRoute
    check_settings:
      context_extensions: { gateway: ${source} }`

const rateLimitService = ({ token }: Destination) => `${CLIENT_ID_DROPPED}
http_filters:
  - name: envoy.filters.http.ratelimit
    typed_config:
      "@type": ${FILTERS}.ratelimit.v3.RateLimit
      domain: quotacast
      # Without an answer calls pass; true refuses them with 500. Envoy's own default is 20 ms.
      failure_mode_deny: false
      timeout: 0.1s
      enable_x_ratelimit_headers: DRAFT_VERSION_03
      rate_limit_service:
        transport_api_version: V3
        grpc_service:
          envoy_grpc: { cluster_name: ${CLUSTER} }
          initial_metadata:
            - { key: x-quotacast-token, value: "${token}" }`

const actions = ({ source }: Destination) => `- actions:
    - generic_key: { descriptor_key: gateway, descriptor_value: ${source} }
    - request_headers: { header_name: x-api-key, descriptor_key: credential, skip_if_absent: true }`

const descriptors = (to: Destination) => `rate_limits:
${indented(2, actions(to))}
      - request_headers: { header_name: ":path", descriptor_key: path }`

const atTheEnd = (to: Destination) => `typed_per_filter_config:
  envoy.filters.http.ratelimit:
    "@type": ${FILTERS}.ratelimit.v3.RateLimitPerRoute
${indented(4, descriptors(to))}
${indented(6, actions(to))}
          - generic_key: { descriptor_key: spent, descriptor_value: tokens }
        apply_on_stream_done: true
        hits_addend: { format: "%DYNAMIC_METADATA(io.envoy.ai_gateway:llm_total_token)%" }`

const recorded = () => `limiter:
  grpc:
    descriptors:
      spent: { unit: total_tokens, record: true }`

export const envoyAsks: readonly AskingSetup[] = [
  {
    title: 'With ext_authz',
    run: { by: 'tests', version: 'Envoy 1.40' },
    steps: [
      {
        text: 'Into every HTTP connection manager, the filter before `router`. Callers are the fingerprints of their keys (`Authorization`, `X-Api-Key`), which `keys` gives names; what Quotacast says of them comes with denials and answers alike.',
        snippet: { language: 'yaml', of: externalAuthorization },
      },
      {
        text: 'Into the virtual host or the route: what its questions say beside the call (`tenant`, `consumer`, and every dimension of quotas).',
        snippet: { language: 'yaml', of: whoAsks },
      },
      clusterStep,
      {
        text: 'The access log, as above, tells the id of the decision (`x-quotacast-decision-id`) that joins a call to its question.',
      },
    ],
  },
  {
    title: 'With the rate limit service',
    run: { by: 'tests', version: 'Envoy 1.40' },
    steps: [
      {
        text: 'Into every HTTP connection manager, the filter before `router`:',
        snippet: { language: 'yaml', of: rateLimitService },
      },
      {
        text: 'Into the virtual host or the route. The entries of descriptors are dimensions of quotas.',
        snippet: { language: 'yaml', of: descriptors },
      },
      clusterStep,
      {
        text: 'The access log, as above, tells the id of the decision here, too. Denials have `X-RateLimit-*` of Envoy’s own making.',
      },
    ],
  },
  {
    title: 'Telling what a call took',
    run: { by: 'tests', version: 'Envoy 1.40' },
    steps: [
      {
        text: 'Where the log is not shipped, the rate limit service can be told at the end of a call, as Envoy AI Gateway does: such hits count in any case, and the calls after it are denied. Put this into the virtual host or the route in the place of `rate_limits`, where Envoy makes one hit of any number:',
        snippet: { language: 'yaml', of: atTheEnd },
      },
      {
        text: 'Tell Quotacast what the entry `spent` means:',
        snippet: { language: 'yaml', of: recorded },
      },
    ],
  },
]
