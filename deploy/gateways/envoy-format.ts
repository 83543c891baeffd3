/** The values that gateways on Envoy log, by the names that the dialects know. Neither headers with keys nor queries are among them. */
import type { Destination } from './guide.ts'
import { DENIED_HEADER, LIMIT_HEADERS } from './limit-headers.ts'

/** Operators of Envoy that need no formatter of its own. */
const CALL: readonly (readonly [name: string, operator: string])[] = [
  ['start_time', '%START_TIME%'],
  ['method', '%REQ(:METHOD)%'],
  ['response_code', '%RESPONSE_CODE%'],
  ['response_flags', '%RESPONSE_FLAGS%'],
  ['response_code_details', '%RESPONSE_CODE_DETAILS%'],
  ['bytes_received', '%BYTES_RECEIVED%'],
  ['bytes_sent', '%BYTES_SENT%'],
  ['duration', '%DURATION%'],
  ['upstream_service_time', '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%'],
  ['request_id', '%REQ(X-REQUEST-ID)%'],
  ['authority', '%REQ(:AUTHORITY)%'],
  ['upstream_cluster', '%UPSTREAM_CLUSTER%'],
  ['route_name', '%ROUTE_NAME%'],
  ['downstream_remote_address', '%DOWNSTREAM_REMOTE_ADDRESS%'],
  ['tenant', '%DYNAMIC_METADATA(envoy.filters.http.ext_authz:tenant)%'],
  ['consumer', '%DYNAMIC_METADATA(envoy.filters.http.ext_authz:consumer)%'],
  ['decision_id', '%REQ(X-QUOTACAST-DECISION-ID)%'],
]

/** Without the limits of no unit, which Envoy's own limits write too. */
const ANSWER_HEADERS: readonly string[] = [
  ...LIMIT_HEADERS.filter(name => !/^x-ratelimit-[a-z]+$/.test(name)),
  DENIED_HEADER,
]

type Value = readonly [name: string, operator: string]

const VALUES: readonly Value[] = [
  ...CALL,
  // Without the query, in which keys may be.
  ['path', '%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%'],
  ...ANSWER_HEADERS.map((name): Value => [name, `%RESP(${name})%`]),
]

/** Members of a map in YAML, indented by as many spaces. */
export const formatMap = (indent: number, more: readonly Value[] = []): string =>
  [...VALUES, ...more].map(([name, operator]) => `${' '.repeat(indent)}${name}: "${operator}"`).join('\n')

/** Attributes of OpenTelemetry in YAML. */
export const formatAttributes = (indent: number): string =>
  VALUES.map(
    ([name, operator]) => `${' '.repeat(indent)}- { key: ${name}, value: { string_value: "${operator}" } }`,
  ).join('\n')

export const indented = (indent: number, yaml: string): string => yaml.replace(/^(?=.)/gm, ' '.repeat(indent))

/** The cluster of the collector's gRPC port, named `quotacast`. */
export const clusterOf = ({ host, grpcPort }: Destination, indent: number): string =>
  grpcClusterOf('quotacast', host, grpcPort, indent)

/** A cluster that is spoken to over gRPC. */
export const grpcClusterOf = (name: string, host: string, port: number, indent: number): string =>
  indented(
    indent,
    `name: ${name}
type: STRICT_DNS
connect_timeout: 1s
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: { http2_protocol_options: {} }
load_assignment:
  cluster_name: ${name}
  endpoints:
    - lb_endpoints:
        - endpoint: { address: { socket_address: { address: ${host}, port_value: ${port} } } }`,
  )

/** The member of an HTTP connection manager that sends calls to the access log service. */
export const accessLogServiceOf = ({ source, token }: Destination, indent: number): string =>
  indented(
    indent,
    `access_log:
  - name: envoy.access_loggers.http_grpc
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig
      common_config:
        log_name: calls
        transport_api_version: V3
        buffer_flush_interval: 1s
        grpc_service:
          envoy_grpc: { cluster_name: quotacast }
          initial_metadata:
            - { key: authorization, value: "Bearer ${token}" }
            - { key: x-quotacast-source, value: "${source}" }
      additional_request_headers_to_log: [x-quotacast-decision-id]
      additional_response_headers_to_log: [${ANSWER_HEADERS.join(', ')}]`,
  )

/** Envoy Gateway's resource that makes its pods write calls as JSON. */
export const envoyProxyOf = (name: string, namespace: string, more: readonly Value[] = []): string =>
  `apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  telemetry:
    accessLog:
      settings:
        - sinks:
            - type: File
              file:
                path: /dev/stdout
          format:
            type: JSON
            json:
${formatMap(14, more)}`
