import type { Guide } from './guide.ts'
import { DENIED_HEADER, LIMIT_HEADERS } from './limit-headers.ts'
import { fileStep, rsyslogSetup, shipperSetup, syslogStep } from './line-setups.ts'

const SOURCE = { dialect: 'apache' }
const LOG_FILE = '/var/log/apache2/quotacast.log'
const LOG_FILES = '/var/log/apache2/quotacast.log*'

/** `%m %U %H` is the request line without its query. */
const LOG_FORMAT = String.raw`LogFormat "%a - %u %t \"%m %U %H\" %>s %b started_us=%{usec}t latency_us=%D request_id=%{UNIQUE_ID}e request_bytes=%I response_bytes=%O host=\"%{Host}i\" upstream_status=%{proxy-status}n connection=%X consumer=\"%{QUOTACAST_CONSUMER}e\" LIMITS" quotacast`

const limitPairs = [...LIMIT_HEADERS, DENIED_HEADER].map(name => String.raw`${name}=\"%{${name}}o\"`).join(' ')

const formatStep = {
  text: 'Put this into the config of the server; it needs `mod_logio` and `mod_unique_id` (`a2enmod unique_id`).',
  snippet: { language: 'apache', of: () => LOG_FORMAT.replace('LIMITS', limitPairs) },
}
const consumerStep = {
  text: 'Give each key a name; everybody else is known by the user of basic authentication. It needs `mod_setenvif`.',
  snippet: { language: 'apache', of: () => 'SetEnvIf X-Api-Key "^the key of acme$" QUOTACAST_CONSUMER=acme' },
}

export const apacheGuide: Guide = {
  name: 'apache',
  title: 'Apache httpd',
  dialect: 'apache',
  ways: ['file', 'syslog', 'otlp'],
  setups: [
    {
      title: 'From a file',
      steps: [
        formatStep,
        {
          text: 'Put this beside it, and into each `<VirtualHost>` that has a `CustomLog` of its own.',
          snippet: { language: 'apache', of: () => `CustomLog ${LOG_FILE} quotacast` },
        },
        consumerStep,
        fileStep(SOURCE, LOG_FILES),
      ],
    },
    {
      title: 'By syslog',
      steps: [
        formatStep,
        {
          text: 'Put this beside it: `logger` of util-linux sends each line.',
          snippet: {
            language: 'apache',
            of: ({ host, syslogPort }) =>
              `CustomLog "|/usr/bin/logger --tag httpd --server ${host} --port ${syslogPort} --tcp --octet-count --size 8192" quotacast`,
          },
        },
        consumerStep,
        syslogStep(SOURCE, 'tcp'),
      ],
    },
    rsyslogSetup(SOURCE, LOG_FILE),
    shipperSetup(LOG_FILES),
  ],
  notes: [
    '`common`, `combined` and `vhost_combined` are understood as well; they have no latency and no id, and times to the second.',
    'httpd has no JSON: a LogFormat that looks like it is broken by the first byte that is not ASCII, so the format of this page is text with names.',
    'Paths come decoded: `/caf%C3%A9` is `/café`.',
    'httpd sees that a client has gone when it writes to it: a call whose answer was still awaited is what that answer is; in the middle of one it is `aborted`.',
    'httpd does not tell how long an upstream took. A 429 is the upstream’s (`exhausted`) where it answered 429 itself, which `upstream_status` shows, else httpd’s own (`limited`).',
    'With `LogFormat … %r …` queries, and the keys in them, stay in the log of httpd.',
  ],
  hints: {
    requestId: 'Load `mod_unique_id` and log `request_id=%{UNIQUE_ID}e`.',
    latencyMs: 'Log `latency_us=%D`.',
    consumer: 'Name the keys by `SetEnvIf`, and log `consumer="%{QUOTACAST_CONSUMER}e"`.',
    host: 'Log `host="%{Host}i"`.',
    requestBytes: 'Log `request_bytes=%I`; it needs `mod_logio`.',
    upstreamLimits: 'Log the headers of the answer as `name="%{name}o"`, and `upstream_status=%{proxy-status}n`.',
    upstreamLatencyMs: 'httpd does not tell it.',
  },
}
