/** Gateways that ask before each call and ship their log, with what their guides tell to paste; without an answer calls pass. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { caddyChecks, startCaddy } from '../../servers/gateways/caddy.ts'
import { envoyChecks } from '../../servers/gateways/envoy.ts'
import { haproxyChecks, startHaproxy } from '../../servers/gateways/haproxy.ts'
import { nginxChecks, startNginx } from '../../servers/gateways/nginx.ts'
import { springChecks, startSpring } from '../../servers/gateways/spring.ts'
import { startEnvoyWith } from './envoy.ts'
import { startEnvoyGateway } from './envoy-gateway.ts'
import { replaced } from './guided.ts'
import { type Place, type Subject, snippetAt } from './subject.ts'
import { CONSUMER, KEY } from './traffic.ts'

/** Machines under test stand still for seconds now and then, and who has asked in vain by then lets a call pass. */
const PATIENCE_SECONDS = 8

/** With that in the place of the patience that the page tells. */
function patient(place: Place, was: string, is: string): Place {
  if (!place.snippets.some(text => text.includes(was))) throw new Error(`there is no ${was}`)
  return { ...place, snippets: place.snippets.map(text => text.replaceAll(was, is)) }
}

const startAskingNginx = (place: Place) => {
  const { port, backendPort } = place
  const [log, access, limiter, question, asking, away] = [0, 1, 2, 3, 4, 5].map(index => snippetAt(place, index))
  return startNginx(
    port,
    `${replaced(log ?? '', 'the key of acme', KEY)}
  ${access}
  ${limiter}
  upstream backend { server 127.0.0.1:${backendPort}; }
  server {
    listen 127.0.0.1:${port};
    ${question}
    ${away}
    location / {
      ${asking}
      error_page 500 = @quotacast_away;
      proxy_pass http://backend;
    }
  }`,
  )
}

/** Before 2.8 it has no `log_append`, which is the second snippet. */
const startAskingCaddy = (place: Place) => {
  const { port, backendPort } = place
  const [log, order, asking, away] = [0, 2, 3, 4].map(index => snippetAt(place, index))
  return startCaddy(
    port,
    `http://:${port} {
  bind 127.0.0.1
  ${log}
  ${asking}
  ${replaced(away ?? '', 'upstream:9000', `127.0.0.1:${backendPort}`)}
  handle /* {
    reverse_proxy 127.0.0.1:${backendPort}
  }
}`,
    order,
  )
}

const startAskingHaproxy = (place: Place) => {
  const { dir, port, backendPort } = place
  const consumers = join(dir, 'consumers.map')
  writeFileSync(consumers, `${KEY} ${CONSUMER}\n`)
  const script = join(dir, 'quotacast.lua')
  writeFileSync(script, snippetAt(place, 3))
  return startHaproxy(
    port,
    `global
  ${replaced(snippetAt(place, 4), '/etc/haproxy/quotacast.lua', script)}
${snippetAt(place, 1)}
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend edge
  bind 127.0.0.1:${port}
  ${replaced(snippetAt(place, 0), '/etc/haproxy/consumers.map', consumers)}
  ${snippetAt(place, 2)}
  ${snippetAt(place, 5)}
  default_backend live
backend live
  server one 127.0.0.1:${backendPort}`,
  )
}

/** By its own authorization, or by its limits: the snippets have one order. */
const startAskingEnvoy = (place: Place) => {
  const [log, logCluster, route, limiterCluster] = [0, 1, 3, 4].map(index => parse(snippetAt(place, index)))
  const { http_filters: filters, ...manager } = parse(snippetAt(place, 2))
  return startEnvoyWith(place, {
    access_log: log.access_log,
    clusters: [...logCluster.clusters, ...limiterCluster.clusters],
    filters,
    manager,
    virtualHost: route,
  })
}

/** The options of its JVM are a command line in the page. */
const startAskingSpring = (place: Place) => {
  const { port, backendPort } = place
  const [command, logging, filter] = [0, 1, 2].map(index => snippetAt(place, index))
  return startSpring(port, {
    backend: `http://127.0.0.1:${backendPort}`,
    options: (command ?? '').split(' ').filter(word => word.startsWith('-D')),
    classes: { QuotacastFilter: filter ?? '' },
    logging: logging ?? '',
  })
}

/** After which Envoy does as if nobody answered, where it is not told otherwise. */
const ENVOY_PATIENCE_MS = 20

export interface AskingSubject extends Subject {
  /** What denials tell of the quota, where it is not the standard field. */
  denial?: Readonly<Record<string, RegExp>>
  /** Its log cannot tell who called. */
  isAnonymous?: boolean
  /** Within which half of the calls that are sent one after the other have to be denied. */
  deniedWithinMs?: number
}

export const ASKING: readonly AskingSubject[] = [
  {
    name: 'nginx',
    guide: 'nginx',
    setups: ['From a file', 'With auth_request'],
    folder: '/var/log/nginx',
    checks: nginxChecks,
    start: place =>
      startAskingNginx(patient(place, 'proxy_read_timeout 500ms', `proxy_read_timeout ${PATIENCE_SECONDS}s`)),
  },
  {
    name: 'caddy',
    guide: 'caddy',
    setups: ['From a file', 'With forward_auth'],
    folder: '/var/log/caddy',
    checks: caddyChecks,
    start: place =>
      startAskingCaddy(patient(place, 'response_header_timeout 500ms', `response_header_timeout ${PATIENCE_SECONDS}s`)),
  },
  {
    name: 'haproxy',
    guide: 'haproxy',
    setups: ['By syslog over TCP', 'With an action in Lua'],
    checks: haproxyChecks,
    start: place => startAskingHaproxy(patient(place, 'TIMEOUT_MS = 500', `TIMEOUT_MS = ${PATIENCE_SECONDS * 1000}`)),
  },
  {
    name: 'envoy',
    guide: 'envoy',
    setups: ['Over gRPC', 'With ext_authz'],
    checks: envoyChecks,
    start: place => startAskingEnvoy(patient(place, ' timeout: 0.2s', ` timeout: ${PATIENCE_SECONDS}s`)),
    deniedWithinMs: ENVOY_PATIENCE_MS,
  },
  {
    name: 'envoy-rls',
    guide: 'envoy',
    setups: ['Over gRPC', 'With the rate limit service'],
    checks: envoyChecks,
    start: place => startAskingEnvoy(patient(place, ' timeout: 0.1s', ` timeout: ${PATIENCE_SECONDS}s`)),
    deniedWithinMs: ENVOY_PATIENCE_MS,
    denial: { 'x-ratelimit-remaining': /^0$/, 'x-ratelimit-reset': /^[1-9]\d*$/ },
  },
  {
    name: 'envoy-gateway',
    guide: 'envoy',
    setups: ['Envoy Gateway, through', 'Envoy Gateway, with a SecurityPolicy'],
    folder: '/var/log/containers',
    checks: envoyChecks,
    start: startEnvoyGateway,
    deniedWithinMs: ENVOY_PATIENCE_MS,
  },
  {
    name: 'spring',
    guide: 'spring',
    setups: ['From a file', 'With a global filter'],
    folder: '/var/log/gateway',
    checks: springChecks,
    start: place =>
      startAskingSpring(patient(place, 'Duration.ofMillis(500)', `Duration.ofSeconds(${PATIENCE_SECONDS})`)),
    isAnonymous: true,
  },
]
