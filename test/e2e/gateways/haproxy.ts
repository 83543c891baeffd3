import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { haproxyChecks, startHaproxy } from '../../servers/gateways/haproxy.ts'
import { replaced } from './guided.ts'
import { type Place, type Subject, snippetAt, type Tells } from './subject.ts'
import { CONSUMER, KEY } from './traffic.ts'

/** It waits for the answer even if nobody does any more. */
const tells: Tells = {
  of: { '/dead': { upstreamLatency: null }, '/hanging': { status: 200, outcome: 'ok' } },
}

const start = (place: Place) => {
  const { dir, port, backendPort, deadPort } = place
  const consumers = join(dir, 'consumers.map')
  writeFileSync(consumers, `${KEY} ${CONSUMER}\n`)
  return startHaproxy(
    port,
    `${snippetAt(place, 1)}
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend edge
  bind 127.0.0.1:${port}
  bind ::1:${port}
  ${replaced(snippetAt(place, 0), '/etc/haproxy/consumers.map', consumers)}
  ${snippetAt(place, 2)}
  http-request deny deny_status 429 if { path /denied }
  use_backend dead if { path /dead }
  default_backend live
backend live
  server one 127.0.0.1:${backendPort}
backend dead
  retries 0
  server none 127.0.0.1:${deadPort}`,
  )
}

export const haproxySubjects: readonly Subject[] = [
  { name: 'haproxy-syslog', guide: 'haproxy', setups: ['By syslog over TCP'], checks: haproxyChecks, start, tells },
]
