/** Every guide, by name: what `quotacast sources` lists, and `npm run pages` writes. */
import { agentgatewayGuide } from './agentgateway.ts'
import { apacheGuide } from './apache.ts'
import { apigeeGuide } from './apigee.ts'
import { apiparkGuide } from './apipark.ts'
import { apisixGuide } from './apisix.ts'
import { awsApiGatewayGuide } from './aws-api-gateway.ts'
import { azureApimGuide } from './azure-apim.ts'
import { caddyGuide } from './caddy.ts'
import { canonicalGuide } from './canonical.ts'
import { clfGuide } from './clf.ts'
import { cloudflareGuide } from './cloudflare.ts'
import { cloudflareAiGatewayGuide } from './cloudflare-ai-gateway.ts'
import { envoyGuide } from './envoy.ts'
import { envoyAiGatewayGuide } from './envoy-ai-gateway.ts'
import type { Guide } from './guide.ts'
import { haproxyGuide } from './haproxy.ts'
import { higressGuide } from './higress.ts'
import { ingressNginxGuide } from './ingress-nginx.ts'
import { istioGuide } from './istio.ts'
import { kongGuide } from './kong.ts'
import { krakendGuide } from './krakend.ts'
import { litellmGuide } from './litellm.ts'
import { nginxGuide } from './nginx.ts'
import { nodeGuide } from './node.ts'
import { openmeterGuide } from './openmeter.ts'
import { otlpGuide } from './otlp.ts'
import { portkeyGuide } from './portkey.ts'
import { springGuide } from './spring.ts'
import { traefikGuide } from './traefik.ts'
import { tykGuide } from './tyk.ts'

export const GUIDES: readonly Guide[] = [
  portkeyGuide,
  otlpGuide,
  openmeterGuide,
  litellmGuide,
  cloudflareAiGatewayGuide,
  cloudflareGuide,
  azureApimGuide,
  awsApiGatewayGuide,
  apigeeGuide,
  agentgatewayGuide,
  higressGuide,
  envoyAiGatewayGuide,
  istioGuide,
  envoyGuide,
  apiparkGuide,
  tykGuide,
  apisixGuide,
  kongGuide,
  traefikGuide,
  springGuide,
  nginxGuide,
  nodeGuide,
  krakendGuide,
  ingressNginxGuide,
  haproxyGuide,
  clfGuide,
  caddyGuide,
  apacheGuide,
  canonicalGuide,
].toSorted((one, other) => (one.name < other.name ? -1 : 1))
