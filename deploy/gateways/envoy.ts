/** Envoy itself, Envoy Gateway, Contour, Gloo. https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage */
import { envoyAsks } from './envoy-asks.ts'
import { accessLogServiceOf, clusterOf, envoyProxyOf, formatAttributes, formatMap } from './envoy-format.ts'
import { securityPolicySetup } from './envoy-gateway-asks.ts'
import type { Guide } from './guide.ts'
import { fileStep, shipperSetup } from './line-setups.ts'

const CONTAINER_LOGS = '/var/log/containers/envoy-*_envoy-gateway-system_envoy-*.log'
const SOURCE = { dialect: 'envoy' }

export const envoyGuide: Guide = {
  name: 'envoy',
  title: 'Envoy, Envoy Gateway',
  dialect: 'envoy',
  ways: ['envoy-als', 'file', 'otlp'],
  setups: [
    {
      title: 'Over gRPC, with the access log service',
      steps: [
        {
          text: 'Into every HTTP connection manager:',
          snippet: {
            language: 'yaml',
            of: to => accessLogServiceOf(to, 0),
          },
        },
        {
          text: 'Among the clusters:',
          snippet: {
            language: 'yaml',
            of: to => `clusters:
  - ${clusterOf(to, 4).trimStart()}`,
          },
        },
      ],
    },
    {
      title: 'Through a file',
      steps: [
        {
          text: 'Into every HTTP connection manager:',
          snippet: {
            language: 'yaml',
            of: () => `access_log:
  - name: envoy.access_loggers.file
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
      path: /var/log/envoy/calls.log
      log_format:
        formatters:
          - name: envoy.formatter.req_without_query
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery
        json_format:
${formatMap(10)}`,
          },
        },
        fileStep(SOURCE, '/var/log/envoy/calls.log*'),
      ],
    },
    {
      title: 'Envoy Gateway, through the output of its pods',
      steps: [
        {
          text: 'Attach this to the Gateway (`spec.infrastructure.parametersRef`) or to its class:',
          snippet: {
            language: 'yaml',
            of: ({ source }) => envoyProxyOf(source, 'envoy-gateway-system'),
          },
        },
        fileStep(SOURCE, CONTAINER_LOGS),
      ],
    },
    {
      title: 'Over OTLP',
      steps: [
        {
          text: 'Into every HTTP connection manager; the cluster is that of the access log service. These calls arrive at the source `otlp`.',
          snippet: {
            language: 'yaml',
            of: ({ token }) => `access_log:
  - name: envoy.access_loggers.open_telemetry
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig
      common_config:
        log_name: calls
        transport_api_version: V3
        grpc_service:
          envoy_grpc: { cluster_name: quotacast }
          initial_metadata:
            - { key: authorization, value: "Bearer ${token}" }
      formatters:
        - name: envoy.formatter.req_without_query
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery
      attributes:
        values:
${formatAttributes(10)}`,
          },
        },
      ],
    },
    shipperSetup(CONTAINER_LOGS),
  ],
  asks: [
    ...envoyAsks,
    { ...securityPolicySetup, run: { by: 'tests', version: 'Envoy 1.40, configured as Envoy Gateway does it' } },
  ],
  notes: [
    'Where Envoy is configured by something that adds no metadata to the questions of ext_authz, the token may be the context extension `x-quotacast-token`: `authPolicy.context` of Contour, `contextExtensions` of Gloo.',
    'Envoy knows no consumers. A filter has to say who called: an ext_authz service in its dynamic metadata (`consumer`, `tenant`), which arrives with the access log service by itself. Or log the header with the key under its own name (`"x-api-key": "%REQ(X-API-KEY)%"`): only its fingerprint is kept.',
    'The default text format, that of Istio, the default of Envoy Gateway and the names of Contour are read too. In all but `json_format` values are not escaped, so that a client may write names and values of its own into the user agent.',
    'Lists of `%RESPONSE_FLAGS%` are the label `error`. `RL` is `limited`, `DC` without an error is `aborted`, and a 429 is `exhausted` when the details are `via_upstream`.',
    'In text and JSON the bytes are those of bodies, with the access log service those on the wire.',
    '`upstreamLatencyMs` is the time to the headers of the answer in text and JSON, and to its end with the access log service.',
    'The access log service is not acknowledged: what is under way when Quotacast stops is lost. Entries of the start and the progress of a call are skipped.',
    'Behind other proxies set `use_remote_address` and `xff_num_trusted_hops`, or `clientIp` is the address of the last of them.',
  ],
  hints: {
    consumer: 'Let ext_authz put `consumer` into its dynamic metadata and log it, or log the header with the key.',
    upstreamLatencyMs: 'Log `%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%` as `upstream_service_time`.',
    requestId: 'Log `%REQ(X-REQUEST-ID)%` as `request_id`.',
  },
}
