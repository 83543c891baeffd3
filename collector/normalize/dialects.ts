/** The dialects that need no config. */
import { agentgateway } from './agentgateway.ts'
import { apache } from './apache.ts'
import { apigee } from './apigee.ts'
import { apipark } from './apipark.ts'
import { apisix } from './apisix.ts'
import { awsApiGateway } from './aws-api-gateway.ts'
import { azureApim } from './azure-apim.ts'
import { caddy } from './caddy.ts'
import { canonical } from './canonical.ts'
import { clf } from './clf.ts'
import { cloudflare } from './cloudflare.ts'
import { cloudflareAiGateway } from './cloudflare-ai-gateway.ts'
import type { Dialect } from './draft.ts'
import { envoy } from './envoy.ts'
import { envoyAiGateway } from './envoy-ai-gateway.ts'
import { haproxy } from './haproxy.ts'
import { higress } from './higress.ts'
import { ingressNginx } from './ingress-nginx.ts'
import { istio } from './istio.ts'
import { kong } from './kong.ts'
import { krakend } from './krakend.ts'
import { litellm } from './litellm.ts'
import { nginx } from './nginx.ts'
import { openmeter } from './openmeter.ts'
import { otlp } from './otlp.ts'
import { portkey } from './portkey.ts'
import { auto } from './sniff.ts'
import { spring } from './spring.ts'
import { traefik } from './traefik.ts'
import { tyk } from './tyk.ts'

export const DIALECTS: readonly Dialect[] = [
  agentgateway,
  apache,
  apigee,
  apipark,
  apisix,
  auto,
  awsApiGateway,
  azureApim,
  caddy,
  canonical,
  clf,
  cloudflare,
  cloudflareAiGateway,
  envoy,
  envoyAiGateway,
  haproxy,
  higress,
  ingressNginx,
  istio,
  kong,
  krakend,
  litellm,
  nginx,
  openmeter,
  otlp,
  portkey,
  spring,
  traefik,
  tyk,
]
