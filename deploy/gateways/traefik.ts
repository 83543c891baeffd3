import type { Guide } from './guide.ts'
import { DENIED_HEADER, LIMIT_HEADERS } from './limit-headers.ts'
import { fileStep, shipperSetup } from './line-setups.ts'
import { traefikAsks } from './traefik-asks.ts'

const SOURCE = { dialect: 'traefik' }
const LOG_FILE = '/var/log/traefik/quotacast.log'
const LOG_FILES = '/var/log/traefik/quotacast.log*'

const headerNames = [...LIMIT_HEADERS, DENIED_HEADER, 'x-quotacast-decision-id']
  .map(name => `        ${name}: keep`)
  .join('\n')

export const traefikGuide: Guide = {
  name: 'traefik',
  title: 'Traefik',
  dialect: 'traefik',
  ways: ['file', 'otlp'],
  setups: [
    {
      title: 'From a file',
      steps: [
        {
          text: 'Put this into the static configuration. Headers are dropped but for the limits of providers; a header with a key must not be kept.',
          snippet: {
            language: 'yaml',
            of: () => `accessLog:
  filePath: ${LOG_FILE}
  format: json
  fields:
    headers:
      defaultMode: drop
      names:
${headerNames}`,
          },
        },
        fileStep(SOURCE, LOG_FILES),
      ],
    },
    {
      title: 'By OTLP',
      steps: [
        {
          text: 'From Traefik 3.3 on put this into the static configuration; the file is then not written.',
          snippet: {
            language: 'yaml',
            of: ({ url, source, token }) => `experimental:
  otlpLogs: true
accessLog:
  fields:
    headers:
      defaultMode: drop
      names:
${headerNames}
  otlp:
    http:
      endpoint: ${url}/v1/sources/${source}/v1/logs
      headers:
        Authorization: Bearer ${token}`,
          },
        },
      ],
    },
    shipperSetup(LOG_FILES),
  ],
  asks: traefikAsks,
  notes: [
    '`common` and `genericCLF` are understood as well. `common` shows the status of the upstream only: what a middleware refused has none, and counts as `client_error`.',
    'Callers are `ClientUsername`: the user of basicAuth, or of the `headerField` of forwardAuth and basicAuth. A key in a header that is kept (`X-Api-Key: keep`) becomes its fingerprint, but stays in the log of Traefik.',
    'Paths come with their queries in the log of Traefik; they are dropped here, and a key in them names the caller.',
    'With tracing on the span of the entry point is the id of the call; else there is none.',
    'A 429 is the upstream’s (`exhausted`) where `OriginStatus` is 429 too, else that of a middleware (`limited`). An answer that did not get to its end, as when the client of a stream leaves, has an `OriginStatus` of 0 beside the server that was asked: `aborted`. Sizes are those of bodies. The router is kept as a label.',
  ],
  hints: {
    requestId: 'Turn `tracing` on: the span of the entry point is then in the access log.',
    consumer: 'Let a middleware set the user (basicAuth, or `headerField` of forwardAuth).',
    upstreamLatencyMs: 'Set `format: json`.',
    requestBytes: 'Set `format: json`.',
    host: 'Set `format: json`.',
    service: 'Set `format: json`.',
    upstreamLimits: 'Keep the headers of limits: `accessLog.fields.headers.names`.',
  },
}
