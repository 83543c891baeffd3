import { caddyChecks, startCaddy } from '../../servers/gateways/caddy.ts'
import { type Place, type Subject, snippetAt, type Tells } from './subject.ts'

/** Before 2.8 it has no `log_append`, so that only the first snippet is used. It does not see who leaves in the middle. */
const tells: Tells = {
  always: { consumer: '', hasRequestId: false, upstreamLatency: null, requestBytes: null },
  of: { '/hanging': { status: 0 }, '/torn': { outcome: 'ok' } },
}

const start = (place: Place) => {
  const { port, backendPort, deadPort } = place
  return startCaddy(
    port,
    `http://:${port} {
  bind 127.0.0.1 ::1
  ${snippetAt(place, 0)}
  respond /denied 429
  reverse_proxy /dead 127.0.0.1:${deadPort}
  reverse_proxy 127.0.0.1:${backendPort}
}`,
  )
}

export const caddySubjects: readonly Subject[] = [
  {
    name: 'caddy-file',
    guide: 'caddy',
    setups: ['From a file'],
    folder: '/var/log/caddy',
    checks: caddyChecks,
    start,
    tells,
  },
  { name: 'caddy-tcp', guide: 'caddy', setups: ['Over TCP'], checks: caddyChecks, start, tells },
]
