import type { Guide } from './guide.ts'
import { haproxyAsks } from './haproxy-asks.ts'
import { DENIED_HEADER, LIMIT_HEADERS } from './limit-headers.ts'
import { fileStep, shipperSetup, syslogStep } from './line-setups.ts'

const SOURCE = { dialect: 'haproxy', hasLocalTimes: true } as const
const LOG_FILES = '/var/log/haproxy.log*'

/** Of the answer, whoever gave it. */
const ANSWER_HEADERS = [...LIMIT_HEADERS, DENIED_HEADER]

const variableOf = (header: string) => `txn.quotacast_${header.replaceAll('-', '_')}`

/** Values that clients choose pass through `json`, since the flag `+E` makes what is no JSON. */
const LOG_FORMAT = `# Connections without a request are no calls.
option dontlognull
unique-id-format %[uuid()]
http-request set-var(txn.quotacast_path) path
http-request set-var(txn.quotacast_host) req.hdr(host)
# A line for each key: the key and a name.
http-request set-var(txn.quotacast_consumer) req.hdr(x-api-key),map_str(/etc/haproxy/consumers.map)
${ANSWER_HEADERS.map(name => `http-response set-var(${variableOf(name)}) res.hdr(${name})`).join('\n')}
log-format '{"trg":"%trg","tr":"%tr","ID":"%ID","ci":"%ci","consumer":"%[var(txn.quotacast_consumer),json(utf8s)]","HM":"%HM","host":"%[var(txn.quotacast_host),json(utf8s)]","path":"%[var(txn.quotacast_path),json(utf8s)]","ST":%ST,"Tc":%Tc,"Tr":%Tr,"Ta":%Ta,"U":%U,"B":%B,"ft":"%ft","b":"%b","s":"%s","tsc":"%tsc",${ANSWER_HEADERS.map(name => `"${name}":"%[var(${variableOf(name)}),json(utf8s)]"`).join(',')}}'`

export const haproxyGuide: Guide = {
  name: 'haproxy',
  title: 'HAProxy',
  dialect: 'haproxy',
  ways: ['syslog', 'file', 'otlp'],
  setups: [
    {
      title: 'By syslog over TCP',
      steps: [
        {
          text: 'Put this into the section `frontend` of each that is to be counted, before its other rules.',
          snippet: { language: 'haproxy', of: () => LOG_FORMAT },
        },
        {
          text: 'Put this beside the other sections: a buffer, and the connection to Quotacast.',
          snippet: {
            language: 'haproxy',
            of: ({ host, syslogPort }) => `ring quotacast
  format rfc5424
  maxlen 8192
  size 1048576
  timeout connect 5s
  timeout server 10s
  server quotacast ${host}:${syslogPort} log-proto octet-count`,
          },
        },
        {
          text: 'Put this into the same `frontend`.',
          snippet: { language: 'haproxy', of: () => 'log ring@quotacast local0' },
        },
        syslogStep(SOURCE, 'tcp'),
      ],
    },
    {
      title: 'From a file that a syslog daemon writes',
      steps: [
        {
          text: 'Take the first step above, and let HAProxy send to the daemon of its machine: without `len` it cuts messages at 1024 characters.',
          snippet: { language: 'haproxy', of: () => 'log /dev/log len 8192 local0' },
        },
        fileStep(SOURCE, LOG_FILES),
      ],
    },
    shipperSetup(LOG_FILES),
  ],
  asks: haproxyAsks,
  notes: [
    '`option httplog` is understood as well; its times have no zone, so the source needs `timezone`. It has no host, no id and no request bytes, and queries, with the keys in them, stay in the log of HAProxy.',
    'The names in the JSON are those of the variables of `log-format`, so any other format with them is understood; from 3.0 on `%{+json}o %(ST)ST …` writes it as well.',
    'The upstream’s latency is `Tc` and `Tr`: until the headers of its answer. A streamed answer takes longer.',
    'A 429 is the server’s (`exhausted`) where a server answered, else that of a rule (`limited`). Sessions that clients end early (`C…` in `tsc`) are `aborted`; the state is kept as the label `error`.',
    'Without `option abortonclose` HAProxy waits for the answer of the server when the client has gone, and the call is what that answer is.',
    'TCP logs, failed handshakes, messages about servers and calls of HAProxy’s own client are passed over.',
    'Do not capture headers with keys: the captures of `option httplog` have no names.',
  ],
  hints: {
    requestId: 'Set `unique-id-format %[uuid()]` and log `"ID":"%ID"`.',
    consumer: 'Set a variable from `map_str` of the key, and log it as `consumer`.',
    host: 'Set a variable from `req.hdr(host)`, and log it as `host`.',
    requestBytes: 'Log `"U":%U`.',
    upstreamLimits: 'Set variables from the headers of the response, and log them under the names of the headers.',
  },
}
