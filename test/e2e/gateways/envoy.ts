import { parse, stringify } from 'yaml'
import { envoyChecks, startEnvoy } from '../../servers/gateways/envoy.ts'
import { type Place, type Subject, snippetAt, type Tells } from './subject.ts'
import { CONSUMER } from './traffic.ts'

const HTTP = 'type.googleapis.com/envoy.extensions.filters'

/** Who called stands where ext_authz would write it. */
const naming = {
  name: 'envoy.filters.http.set_metadata',
  typed_config: {
    '@type': `${HTTP}.http.set_metadata.v3.Config`,
    metadata: [{ metadata_namespace: 'envoy.filters.http.ext_authz', value: { consumer: CONSUMER } }],
  },
}
const router = { name: 'envoy.filters.http.router', typed_config: { '@type': `${HTTP}.http.router.v3.Router` } }

const cluster = (name: string, port: number) => ({
  name,
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: address('127.0.0.1', port) } }] }],
  },
})

const address = (host: string, port: number) => ({
  socket_address: { address: host, port_value: port, ...(host === '::' ? { ipv4_compat: true } : {}) },
})

const start = (place: Place, ...pasted: Record<string, unknown>[]) => {
  const { access_log, clusters = [] } = Object.assign({}, ...pasted)
  return startEnvoyWith(place, { access_log, clusters, filters: [naming], virtualHost: {} })
}

export interface EnvoyParts {
  access_log: unknown
  clusters: readonly unknown[]
  /** Before the router. */
  filters: readonly unknown[]
  /** Further members of the virtual host. */
  virtualHost: Record<string, unknown>
  /** Further members of the connection manager. */
  manager?: Record<string, unknown>
}

export function startEnvoyWith(place: Place, parts: EnvoyParts) {
  const { access_log, clusters, filters, virtualHost } = parts
  const { port, backendPort, deadPort } = place
  const manager = {
    ...parts.manager,
    '@type': `${HTTP}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'edge',
    use_remote_address: true,
    access_log,
    http_filters: [...filters, router],
    route_config: {
      virtual_hosts: [
        {
          ...virtualHost,
          name: 'all',
          domains: ['*'],
          routes: [
            { match: { path: '/denied' }, direct_response: { status: 429 } },
            { match: { path: '/dead' }, route: { cluster: 'dead' } },
            { match: { prefix: '/' }, route: { cluster: 'live' } },
          ],
        },
      ],
    },
  }
  const filter = { name: 'envoy.filters.network.http_connection_manager', typed_config: manager }
  return startEnvoy(
    port,
    stringify({
      static_resources: {
        listeners: [{ address: address('::', port), filter_chains: [{ filters: [filter] }] }],
        clusters: [cluster('live', backendPort), cluster('dead', deadPort), ...clusters],
      },
    }),
  )
}

/** Who called is the same for all here. */
const tells: Tells = {
  of: {
    '/stranger': { consumer: CONSUMER },
    '/dead': { upstreamLatency: null },
    '/hanging': { status: 0, upstreamLatency: null },
  },
}

const ALS = 'Over gRPC'

export const envoySubjects: readonly Subject[] = [
  {
    name: 'envoy',
    guide: 'envoy',
    setups: [ALS],
    checks: envoyChecks,
    start: place => start(place, parse(snippetAt(place, 0)), parse(snippetAt(place, 1))),
    // The time to the end of an answer that has none.
    tells: { of: { ...tells.of, '/torn': { upstreamLatency: null } } },
  },
  {
    name: 'envoy-file',
    guide: 'envoy',
    setups: ['Through a file'],
    folder: '/var/log/envoy',
    checks: envoyChecks,
    start: place => start(place, parse(snippetAt(place, 0))),
    tells,
  },
  {
    // What the guide calls the log.
    name: 'calls',
    source: 'otlp',
    guide: 'envoy',
    setups: ['Over OTLP', ALS],
    checks: envoyChecks,
    start: place => start(place, parse(snippetAt(place, 0)), parse(snippetAt(place, 2))),
    tells,
  },
]
