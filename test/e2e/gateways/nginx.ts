import { nginxChecks, startNginx } from '../../servers/gateways/nginx.ts'
import { replaced } from './guided.ts'
import { type Place, type Subject, snippetAt, type Tells } from './subject.ts'
import { KEY } from './traffic.ts'

/** Title of the set-up that adds them. */
export const AI = 'In front of AI providers'

/** The status that it has for clients that went. */
export const nginxTells: Tells = { of: { '/hanging': { status: 499 } } }

/** Its guide told to write a file or to send, and then to add the limits of providers. */
export const startGuidedNginx = (place: Place) => {
  const { port, backendPort, deadPort } = place
  const lines = replaced(snippetAt(place, 0), 'the key of acme', KEY).split('\n')
  return startNginx(
    port,
    `${lines.toSpliced(-1, 0, snippetAt(place, 2)).join('\n')}
  ${snippetAt(place, 1)}
  # Of the calls to '/six' and '/denied' the first one of a minute passes.
  limit_req_zone $http_host zone=test:1m rate=1r/m;
  upstream backend { server 127.0.0.1:${backendPort}; }
  server {
    listen 127.0.0.1:${port};
    listen [::1]:${port};
    location / { proxy_pass http://backend; }
    location = /six { limit_req zone=test; proxy_pass http://backend; }
    location = /denied { limit_req zone=test; proxy_pass http://backend; }
    location = /dead { proxy_pass http://127.0.0.1:${deadPort}; }
  }`,
  )
}

export const nginxSubjects: readonly Subject[] = [
  {
    name: 'nginx-file',
    guide: 'nginx',
    setups: ['From a file', AI],
    folder: '/var/log/nginx',
    checks: nginxChecks,
    start: startGuidedNginx,
    tells: nginxTells,
  },
  {
    name: 'nginx-syslog',
    guide: 'nginx',
    setups: ['By syslog', AI],
    checks: nginxChecks,
    start: startGuidedNginx,
    tells: nginxTells,
  },
]
