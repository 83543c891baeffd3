/** Set-ups that gateways have in common when they write lines: what to tell Quotacast, and a shipper for where it cannot look. */
import type { Destination, Setup, Step } from './guide.ts'

interface Source {
  dialect: string
  /** The gateway writes times without a zone. */
  hasLocalTimes?: true
}

/** The config of a source with its way in, as YAML. */
function sourceConfig({ source }: Destination, { dialect, hasLocalTimes }: Source, receive: string): string {
  const lines = [
    ...(source === dialect ? [] : [`    dialect: ${dialect}`]),
    // biome-ignore format: the comment belongs to the value.
    ...(hasLocalTimes === undefined ? [] : ['    timezone: Europe/Berlin  # of the machine that the gateway runs on']),
    `    receive: ${receive}`,
  ]
  return `sources:\n  ${source}:\n${lines.join('\n')}`
}

/** Files that Quotacast can read itself. */
export const fileStep = (source: Source, path: string): Step => ({
  text: 'Let Quotacast follow the file: add this to its config and start it again. Rotated files are found by the same pattern, and each line is counted once.',
  snippet: {
    language: 'yaml',
    of: to => sourceConfig(to, source, `{ kind: file, paths: ['${path}'] }`),
  },
})

/** What listens for syslog, or for bare lines over TCP. */
export const syslogStep = (source: Source, protocol: 'udp' | 'tcp'): Step => ({
  text: `Let Quotacast listen: add this to its config and start it again.${protocol === 'udp' ? ' Datagrams get lost when nobody listens, or when too many come at once; a file is safer.' : ''}`,
  snippet: {
    language: 'yaml',
    of: to => sourceConfig(to, source, `{ kind: syslog_${protocol}, host: 0.0.0.0, port: ${to.syslogPort} }`),
  },
})

/** A topic that the gateway writes. */
export const kafkaStep = (source: Source, topic: string): Step => ({
  text: 'Let Quotacast read the topic: add this to its config and start it again. It goes on where it was, and each call is counted once.',
  snippet: {
    language: 'yaml',
    of: to => sourceConfig(to, source, `{ kind: kafka, brokers: ['${to.brokers}'], topics: ['${topic}'] }`),
  },
})

/** Of the brokers of a source, for gateways that want host and port apart; IPv6 addresses without brackets. */
export function firstBroker(brokers: string): { host: string; port: string } {
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(brokers.split(',', 1)[0] ?? '') ?? []
  return { host, port }
}

/** For files on other machines, with the daemon that most of them run anyway. */
export const rsyslogSetup = (source: Source, path: string): Setup => ({
  title: 'From another machine: rsyslog',
  steps: [
    {
      text: 'Put this into `/etc/rsyslog.d/quotacast.conf`, with `global(maxMessageSize="64k")` at the top of `/etc/rsyslog.conf` for lines of more than 8 KiB. What cannot be sent waits on disk.',
      snippet: {
        language: 'rsyslog',
        of: ({ host, syslogPort }) => `module(load="imfile")
input(type="imfile" file="${path}" tag="quotacast" ruleset="quotacast")
ruleset(name="quotacast") {
  action(type="omfwd" target="${host}" port="${syslogPort}" protocol="tcp" TCP_Framing="octet-counted"
    template="RSYSLOG_SyslogProtocol23Format" action.resumeRetryCount="-1"
    queue.type="LinkedList" queue.filename="quotacast" queue.maxDiskSpace="1g" queue.saveOnShutdown="on")
}`,
      },
    },
    syslogStep(source, 'tcp'),
    {
      text: 'To encrypt it, install `rsyslog-openssl`, put `global(defaultNetstreamDriverCAFile="/etc/ssl/certs/ca-certificates.crt")` before the rest, add `StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="quotacast"` (the name in the certificate) to the action, and `tls: { certFile: …, keyFile: … }` to `receive`.',
    },
  ],
})

/**
 * What makes an OpenTelemetry Collector send what a receiver of it hears, past processors that the caller describes. Its
 * queue would else hold 1,000 requests, however small, and refuse or drop what comes then.
 */
export const collectorPipeline = (
  { url, source, token }: Destination,
  signal: 'logs' | 'traces',
  receiver: string,
  processors: readonly string[] = [],
): string => `exporters:
  otlphttp/quotacast:
    endpoint: ${url}/v1/sources/${source}
    headers: { Authorization: 'Bearer ${token}' }
    retry_on_failure: { max_elapsed_time: 0 }
    sending_queue: { storage: file_storage, sizer: bytes, queue_size: 1000000000 }
extensions:
  file_storage: { directory: /var/lib/otelcol/quotacast, create_directory: true }
service:
  extensions: [file_storage]
  pipelines:
    ${signal}: { receivers: [${receiver}], ${processorsIn(processors)}exporters: [otlphttp/quotacast] }`

const processorsIn = (names: readonly string[]) => (names.length === 0 ? '' : `processors: [${names.join(', ')}], `)

/** For files on other machines and in containers. */
export const shipperSetup = (path: string): Setup => ({
  title: 'From another machine: an OpenTelemetry Collector',
  steps: [
    {
      text: 'Any shipper that puts each line into the body of a log record will do; this is the contrib distribution of the Collector. It remembers in a folder how far it has come and what is not sent yet: without that it would begin again at each start, and calls without an id would be counted again. In Kubernetes add the operator `container` to the receiver, which removes what the runtime puts before each line.',
      snippet: {
        language: 'yaml',
        of: to => `receivers:
  filelog:
    include: ['${path}']
    start_at: beginning
    storage: file_storage
    retry_on_failure: { enabled: true, max_elapsed_time: 0 }
${collectorPipeline(to, 'logs', 'filelog')}`,
      },
    },
  ],
})
