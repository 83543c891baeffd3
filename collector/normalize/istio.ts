/**
 * Istio's gateways: Envoy's log in Istio's text and JSON formats, or over gRPC. Sidecars log the calls that they let in as
 * well, which the proxies that sent them have logged already.
 */
import { SKIP } from './draft.ts'
import { envoyDialect } from './envoy.ts'
import { textOf } from './fields.ts'

export const istio = envoyDialect('istio', (draft, fields) =>
  textOf(fields.upstream_cluster)?.startsWith('inbound|') === true ? SKIP : draft,
)
