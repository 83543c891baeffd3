import { apacheChecks, startApache } from '../../servers/gateways/apache.ts'
import { replaced } from './guided.ts'
import { type Place, type Subject, snippetAt, type Tells } from './subject.ts'
import { KEY } from './traffic.ts'

/** It does not tell how long an upstream took, and waits for the answer even if nobody does any more. */
const tells: Tells = {
  always: { upstreamLatency: null },
  of: { '/caf%C3%A9': { route: '/café' }, '/hanging': { status: 200, outcome: 'ok' } },
}

const start = (place: Place) => {
  const { port, backendPort, deadPort } = place
  return startApache(
    port,
    `Listen [::1]:${port}
AcceptPathInfo On
AllowEncodedSlashes On
${snippetAt(place, 0)}
${snippetAt(place, 1)}
${replaced(snippetAt(place, 2), 'the key of acme', KEY)}
RewriteEngine On
RewriteRule ^/denied$ - [R=429,L]
ProxyPass /denied !
ProxyPass /dead http://127.0.0.1:${deadPort}/dead
ProxyPass / http://127.0.0.1:${backendPort}/`,
  )
}

export const apacheSubjects: readonly Subject[] = [
  {
    name: 'apache-file',
    guide: 'apache',
    setups: ['From a file'],
    folder: '/var/log/apache2',
    checks: apacheChecks,
    start,
    tells,
  },
  { name: 'apache-syslog', guide: 'apache', setups: ['By syslog'], checks: apacheChecks, start, tells },
]
