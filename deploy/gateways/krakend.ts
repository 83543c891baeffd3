import type { Guide } from './guide.ts'
import { krakendAsks } from './krakend-asks.ts'
import { collectorPipeline, fileStep, shipperSetup } from './line-setups.ts'

const SOURCE = { dialect: 'krakend', hasLocalTimes: true } as const
const LOG_FILE = '/var/log/krakend/access.log'
const LOG_FILES = '/var/log/krakend/access.log*'

export const krakendGuide: Guide = {
  name: 'krakend',
  title: 'KrakenD',
  dialect: 'krakend',
  ways: ['otlp', 'file'],
  setups: [
    {
      title: 'By OTLP: spans',
      steps: [
        {
          text: 'Put this into `extra_config` of the service. Spans have the endpoint, bytes, and the backends’ latency and limits; all of them have to be sampled, since each is a call. They also hold whatever headers the backends are sent, keys among them, which the Collector keeps in its folder until they are sent. KrakenD’s exporter sends no token: let a Collector of its machine add it.',
          snippet: {
            language: 'json',
            of: ({ source }) => `"telemetry/opentelemetry": {
  "service_name": "${source}",
  "trace_sample_rate": 1,
  "layers": { "backend": { "traces": { "round_trip": true, "report_headers": true } } },
  "exporters": {
    "otlp": [{ "name": "collector", "host": "127.0.0.1", "port": 4317, "use_http": false, "disable_metrics": true }]
  }
}`,
          },
        },
        {
          text: 'The Collector, of the contrib distribution, which keeps in a folder what is not sent yet.',
          snippet: {
            language: 'yaml',
            of: to => `receivers:
  otlp: { protocols: { grpc: { endpoint: '127.0.0.1:4317' } } }
${collectorPipeline(to, 'traces', 'otlp')}`,
          },
        },
      ],
    },
    {
      title: 'From a file: the access log',
      steps: [
        {
          text: 'KrakenD writes its access log to its output, and nowhere else.',
          snippet: { language: 'sh', of: () => `krakend run -c krakend.json >> ${LOG_FILE}` },
        },
        fileStep(SOURCE, LOG_FILES),
      ],
    },
    shipperSetup(LOG_FILES),
  ],
  asks: krakendAsks,
  notes: [
    'Use either the spans or the access log: both at once count each call twice.',
    'Spans do not say who called, unless each question is handed on to them as below. `"global": { "report_headers": true }` among the `layers` makes them hold the keys of callers, of which Quotacast keeps the fingerprints.',
    'The access log has no id, no caller, no host, no bytes, and times to the second in the zone of the machine, so the source needs `timezone`.',
    'KrakenD’s own messages in the same output are passed over. The formats that the Enterprise Edition lets you define need a mapping.',
    'A 429 in the access log counts as KrakenD’s own (`limited`), since nothing shows whether a backend was asked.',
  ],
  hints: {
    requestId: 'Send spans over OTLP: the access log has no id.',
    consumer: 'Send spans over OTLP, with an attribute for who calls: the access log does not tell it.',
    upstreamLatencyMs: 'Send spans over OTLP: the access log does not tell it.',
  },
}
