/** Istio's gateways. https://istio.io/latest/docs/tasks/observability/logs/access-log/ */
import { accessLogServiceOf, clusterOf, formatMap } from './envoy-format.ts'
import type { Guide } from './guide.ts'
import { CLUSTER_INDENT, CONNECTION_MANAGER_PATCH, filterWith, istioAsks } from './istio-asks.ts'
import { fileStep, shipperSetup } from './line-setups.ts'

const CONTAINER_LOGS = '/var/log/containers/istio-ingressgateway-*_istio-system_istio-proxy-*.log'
const SOURCE = { dialect: 'istio' }

export const istioGuide: Guide = {
  name: 'istio',
  title: 'Istio',
  dialect: 'istio',
  ways: ['file', 'otlp', 'envoy-als'],
  setups: [
    {
      title: 'Through the output of the pods',
      steps: [
        {
          text: 'Define the format in the mesh config (`istioctl install -f`, or the ConfigMap `istio`):',
          snippet: {
            language: 'yaml',
            of: () => `meshConfig:
  extensionProviders:
    - name: quotacast
      envoyFileAccessLog:
        path: /dev/stdout
        logFormat:
          labels:
${formatMap(12)}`,
          },
        },
        {
          text: 'Use it for the gateways alone, as every call that passes a sidecar would be counted again:',
          snippet: {
            language: 'yaml',
            of: () => `apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata:
  name: quotacast
  namespace: istio-system
spec:
  selector:
    matchLabels:
      istio: ingressgateway
  accessLogging:
    - providers:
        - name: quotacast`,
          },
        },
        fileStep(SOURCE, CONTAINER_LOGS),
      ],
    },
    {
      title: 'Over gRPC, with the access log service',
      steps: [
        {
          text: "Istio's own provider `envoyHttpAls` sends no token, so Envoy is told by itself:",
          snippet: {
            language: 'yaml',
            of: to => `${filterWith('quotacast', clusterOf(to, CLUSTER_INDENT))}
${CONNECTION_MANAGER_PATCH}
${accessLogServiceOf(to, 12)}`,
          },
        },
      ],
    },
    shipperSetup(CONTAINER_LOGS),
  ],
  asks: istioAsks,
  notes: [
    "Istio's default formats, text and JSON, are read too; text holds the query with whatever keys are in it, of which only fingerprints are kept.",
    'Entries of sidecars that let a call in (`inbound|…`) are skipped: the proxy that sent it has logged it. Those of sidecars that send calls out are not, so ship the logs of gateways alone.',
    '`service` is the host of the cluster (`outbound|443||api.openai.com`).',
    'Istio knows no consumers in its log. Where it does not ask, let an external authorizer (`CUSTOM` in an AuthorizationPolicy) put `consumer` and `tenant` into its dynamic metadata, or log the header with the key under its own name.',
    'A 429 is `limited` with the flag `RL` or without an upstream, and `exhausted` when the details are `via_upstream`.',
    'The output of containers is read with the prefix of the container runtime; lines that it has cut in two (16 KiB) are not.',
  ],
  hints: {
    consumer: 'Log `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:consumer)%`, or the header with the key.',
    upstreamLimits: 'Log the rate-limit headers of the upstream with `%RESP(…)%` under their own names.',
  },
}
