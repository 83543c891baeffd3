/** Envoy as Envoy Gateway 1.7 makes it of the resources that the guide tells to apply, as far as they ask for it. */
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { CLIENT_ID_DROPPED } from '../../../deploy/gateways/envoy-asks.ts'
import { grpcClusterOf } from '../../../deploy/gateways/envoy-format.ts'
import { startEnvoyWith } from './envoy.ts'
import { type Place, snippetAt } from './subject.ts'

const EXTENSIONS = 'type.googleapis.com/envoy.extensions'
const LOG = 'envoy-default-eg_envoy-gateway-system_envoy-1.log'

export function startEnvoyGateway(place: Place) {
  const { format } = parse(snippetAt(place, 0)).spec.telemetry.accessLog.settings[0]
  const resources = parseAllDocuments(snippetAt(place, 1)).map(document => document.toJS())
  const of = (kind: string) => resources.find(resource => resource.kind === kind)
  const { metadata, spec } = of('SecurityPolicy')
  const name = `envoy.filters.http.ext_authz/securitypolicy/${metadata.namespace}/${metadata.name}`
  const [service] = spec.extAuth.grpc.backendRefs
  const secret = of('Secret').stringData
  return startEnvoyWith(place, {
    access_log: [jsonLog(join(place.dir, LOG), format.json)],
    clusters: [parse(grpcClusterOf(service.name, service.name, service.port, 0))],
    filters: [extAuthz(name, service.name, spec.extAuth)],
    virtualHost: { typed_per_filter_config: { [name]: withContext(spec.extAuth.contextExtensions, secret) } },
    manager: withoutEarly(of('ClientTrafficPolicy').spec.headers.earlyRequestHeaders.remove),
  })
}

const jsonLog = (path: string, json: Record<string, string>) => ({
  name: 'envoy.access_loggers.file',
  typed_config: {
    '@type': `${EXTENSIONS}.access_loggers.file.v3.FileAccessLog`,
    path,
    log_format: {
      formatters: [
        {
          name: 'envoy.formatter.req_without_query',
          typed_config: { '@type': `${EXTENSIONS}.formatter.req_without_query.v3.ReqWithoutQuery` },
        },
      ],
      json_format: json,
    },
  },
})

const extAuthz = (name: string, cluster: string, { failOpen }: { failOpen: boolean }) => ({
  name,
  typed_config: {
    '@type': `${EXTENSIONS}.filters.http.ext_authz.v3.ExtAuthz`,
    transport_api_version: 'V3',
    failure_mode_allow: failOpen,
    // A slow machine gets more than is told.
    grpc_service: { envoy_grpc: { cluster_name: cluster }, timeout: '2s' },
  },
})

interface ContextExtension {
  name: string
  value?: string
  valueRef?: { key: string }
}

const withContext = (extensions: readonly ContextExtension[], secret: Record<string, string>) => ({
  '@type': `${EXTENSIONS}.filters.http.ext_authz.v3.ExtAuthzPerRoute`,
  check_settings: {
    context_extensions: Object.fromEntries(
      extensions.map(({ name, value, valueRef }) => [name, value ?? secret[valueRef?.key ?? '']]),
    ),
  },
})

/** What it removes early it removes as our own filter does. */
function withoutEarly(names: readonly string[]) {
  const manager = parse(CLIENT_ID_DROPPED)
  manager.early_header_mutation_extensions[0].typed_config.mutations = names.map(remove => ({ remove }))
  return manager
}
