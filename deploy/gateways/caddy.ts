import { caddyAsks } from './caddy-asks.ts'
import type { Guide } from './guide.ts'
import { fileStep, rsyslogSetup, shipperSetup, syslogStep } from './line-setups.ts'

const SOURCE = { dialect: 'caddy' }
const LOG_FILE = '/var/log/caddy/quotacast.log'
const LOG_FILES = '/var/log/caddy/quotacast*.log*'

/** Caddy redacts `Authorization` and `Cookie` itself, and no other header. */
const logOf = (output: string) => String.raw`log {
  output ${output}
  format filter {
    wrap json
    fields {
      request>uri regexp \?.* ""
      request>headers delete
    }
  }
}`

const appendStep = {
  text: 'From Caddy 2.8 on put this beside it: the id, the upstream’s latency, and a name for each key. Before, callers are known by the user of basic authentication only. From 2.11 on write `<request_id` and `<consumer` for the two names: so they are also there for an answer that was broken off.',
  snippet: {
    language: 'caddyfile',
    of: () => `map {header.X-Api-Key} {quotacast_consumer} {
  "the key of acme" acme
}
log_append request_id {http.request.uuid}
log_append upstream_latency_ms {http.reverse_proxy.upstream.duration_ms}
log_append consumer {quotacast_consumer}`,
  },
}

export const caddyGuide: Guide = {
  name: 'caddy',
  title: 'Caddy',
  dialect: 'caddy',
  ways: ['file', 'syslog', 'otlp'],
  setups: [
    {
      title: 'From a file',
      steps: [
        {
          text: 'Put this into the block of the site. It leaves queries and request headers out of the log, where Caddy writes keys as they are.',
          snippet: { language: 'caddyfile', of: () => logOf(`file ${LOG_FILE}`) },
        },
        appendStep,
        fileStep(SOURCE, LOG_FILES),
      ],
    },
    {
      title: 'Over TCP',
      steps: [
        {
          text: 'Put this into the block of the site.',
          snippet: { language: 'caddyfile', of: ({ host, syslogPort }) => logOf(`net tcp/${host}:${syslogPort}`) },
        },
        appendStep,
        syslogStep(SOURCE, 'tcp'),
      ],
    },
    rsyslogSetup(SOURCE, LOG_FILE),
    shipperSetup(LOG_FILES),
  ],
  asks: caddyAsks,
  notes: [
    'Keep the default formats of time (`time_format`, `duration_format`): nothing in a log of numbers says whether they are seconds. Text is understood too.',
    'Caddy logs a call when it ends; the start is that less `duration`. Sizes are those of bodies.',
    'Where the headers of requests are logged, callers are the fingerprints of their keys; the keys themselves are not kept, but stay in the log of Caddy.',
    'A 429 is the upstream’s (`exhausted`) where there is an upstream’s latency, or the answer says what is left of its limits; else it is Caddy’s own (`limited`).',
    'A status of 0 means that nothing was written: the client had gone, or no handler answered. An answer that was broken off in the middle is one of no duration since 2.11, and `aborted`; before, it leaves no trace, and is `ok`.',
    'Other loggers and the messages of Caddy about itself are passed over; the format `console` cannot be read.',
  ],
  hints: {
    requestId: 'From Caddy 2.8 on: `log_append request_id {http.request.uuid}`.',
    upstreamLatencyMs: 'From Caddy 2.8 on: `log_append upstream_latency_ms {http.reverse_proxy.upstream.duration_ms}`.',
    consumer: 'From Caddy 2.8 on: a `map` of the keys, and `log_append consumer {quotacast_consumer}`.',
    upstreamLimits: 'Do not delete `resp_headers` in a filter.',
    requestBytes: 'Caddy tells it from 2.7 on.',
    service: 'From Caddy 2.8 on: `log_append service NAME` in the block that has the `reverse_proxy`.',
  },
}
