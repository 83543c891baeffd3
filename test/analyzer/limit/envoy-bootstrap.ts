/** Envoy with a listener for each way to ask: rate limit service (open and strict), ext_authz over gRPC and over HTTP. */
import { stringify } from 'yaml'

const type = (name: string) => `type.googleapis.com/envoy.${name}`
/** Machines under test are slow now and then; what is tested is not how fast they are. */
const PATIENT = '1s'

const rateLimits = [
  {
    actions: [
      { generic_key: { descriptor_key: 'tenant', descriptor_value: 'acme' } },
      { request_headers: { header_name: 'x-consumer', descriptor_key: 'consumer' } },
      { request_headers: { header_name: ':path', descriptor_key: 'path' } },
    ],
  },
  { actions: [{ request_headers: { header_name: 'x-consumer', descriptor_key: 'consumer' } }] },
]

const token = { key: 'x-quotacast-token', value: 'gateway' }
const grpc = (timeout?: string) => ({
  envoy_grpc: { cluster_name: 'quotacast_grpc' },
  initial_metadata: [token],
  ...(timeout === undefined ? {} : { timeout }),
})

const rateLimitFilter = (isStrict: boolean) => ({
  name: 'envoy.filters.http.ratelimit',
  typed_config: {
    '@type': type('extensions.filters.http.ratelimit.v3.RateLimit'),
    domain: 'edge',
    failure_mode_deny: isStrict,
    enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
    // The strict one has the default, 20 ms.
    ...(isStrict ? {} : { timeout: PATIENT }),
    rate_limit_service: { transport_api_version: 'V3', grpc_service: grpc() },
  },
})

const authzFilter = {
  name: 'envoy.filters.http.ext_authz',
  typed_config: {
    '@type': type('extensions.filters.http.ext_authz.v3.ExtAuthz'),
    transport_api_version: 'V3',
    failure_mode_allow: false,
    grpc_service: grpc(PATIENT),
  },
}

const exact = (...names: string[]) => ({ patterns: names.map(name => ({ exact: name })) })

const authzHttpFilter = (limiterPort: number) => ({
  name: 'envoy.filters.http.ext_authz',
  typed_config: {
    '@type': type('extensions.filters.http.ext_authz.v3.ExtAuthz'),
    transport_api_version: 'V3',
    failure_mode_allow: true,
    http_service: {
      path_prefix: '/v1/auth/envoy',
      server_uri: { uri: `http://127.0.0.1:${limiterPort}`, cluster: 'quotacast_http', timeout: PATIENT },
      authorization_request: { headers_to_add: [token, { key: 'x-quotacast-tenant', value: 'acme' }] },
      authorization_response: {
        allowed_upstream_headers: exact('x-quotacast-decision-id'),
        allowed_client_headers: exact('retry-after', 'ratelimit', 'ratelimit-policy', 'content-type'),
        allowed_client_headers_on_success: exact('ratelimit', 'ratelimit-policy'),
      },
    },
  },
})

function listener(port: number, filter: object) {
  const route = { match: { prefix: '/' }, route: { cluster: 'backend', rate_limits: rateLimits } }
  const perRoute = {
    '@type': type('extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute'),
    check_settings: { context_extensions: { tenant: 'acme', gateway: 'edge' } },
  }
  const isAuthz = 'name' in filter && filter.name === 'envoy.filters.http.ext_authz'
  const manager = {
    '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: `on_${port}`,
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [route],
          ...(isAuthz ? { typed_per_filter_config: { 'envoy.filters.http.ext_authz': perRoute } } : {}),
        },
      ],
    },
    http_filters: [
      filter,
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': type('extensions.filters.http.router.v3.Router') },
      },
    ],
  }
  return {
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] }],
  }
}

function cluster(name: string, port: number, isHttp2 = false) {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } }
  const http2 = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options: {} },
    },
  }
  return {
    name,
    connect_timeout: '1s',
    type: 'STATIC',
    ...(isHttp2 ? { typed_extension_protocol_options: http2 } : {}),
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  }
}

export const envoyBootstrap = (
  ports: { rls: number; rlsStrict: number; authz: number; authzHttp: number },
  { limiter, backend }: { limiter: { grpc: number; http: number }; backend: number },
): string =>
  stringify({
    static_resources: {
      listeners: [
        listener(ports.rlsStrict, rateLimitFilter(true)),
        listener(ports.authz, authzFilter),
        listener(ports.authzHttp, authzHttpFilter(limiter.http)),
        listener(ports.rls, rateLimitFilter(false)),
      ],
      clusters: [
        cluster('backend', backend),
        cluster('quotacast_grpc', limiter.grpc, true),
        cluster('quotacast_http', limiter.http),
      ],
    },
  })
