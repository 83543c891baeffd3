/** Whatever has an exporter of OpenTelemetry. https://opentelemetry.io/docs/specs/otel/protocol/exporter/ */
import type { Destination, Guide } from './guide.ts'
import { collectorPipeline } from './line-setups.ts'

/** Where exporters send to: the source that needs no name is the one of the bare endpoint. */
const endpoint = ({ url, source }: Destination) => (source === 'otlp' ? url : `${url}/v1/sources/${source}`)

export const otlpGuide: Guide = {
  name: 'otlp',
  title: 'OpenTelemetry',
  dialect: 'otlp',
  ways: ['otlp', 'otlp-grpc', 'kafka', 'file', 'http'],
  setups: [
    {
      title: 'From an SDK, or a gateway that takes its environment variables',
      steps: [
        {
          text: 'Over HTTP, in protobuf or JSON. Traces are enough; log records are read as well.',
          snippet: {
            language: 'sh',
            of: to => `OTEL_EXPORTER_OTLP_ENDPOINT=${endpoint(to)}
OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
OTEL_EXPORTER_OTLP_HEADERS=x-quotacast-token=${to.token}
OTEL_TRACES_SAMPLER=always_on`,
          },
        },
        {
          text: 'Or over gRPC:',
          snippet: {
            language: 'sh',
            of: ({ host, grpcPort, source, token }) => `OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:${grpcPort}
OTEL_EXPORTER_OTLP_PROTOCOL=grpc
OTEL_EXPORTER_OTLP_HEADERS=x-quotacast-token=${token},x-quotacast-source=${source}
OTEL_TRACES_SAMPLER=always_on`,
          },
        },
      ],
    },
    {
      title: 'Through an OpenTelemetry Collector',
      steps: [
        {
          text: 'The contrib distribution. Keep the spans of your gateways and drop those of the services behind them, which are calls too, but not of the gateway. `groupbytrace` sends the spans of a call together, so that tokens on a child are those of its call. SDKs send every 5 seconds (`OTEL_BSP_SCHEDULE_DELAY`), a child up to that long before its parent: it has to wait for longer. What it holds is in memory, and lost when the Collector ends, also in good order; all behind it waits on disk. A `send_batch_max_size` would divide calls.',
          snippet: {
            language: 'yaml',
            of: to => `receivers:
  otlp: { protocols: { grpc: { endpoint: '0.0.0.0:4317' }, http: { endpoint: '0.0.0.0:4318' } } }
processors:
  filter/gateways:
    error_mode: ignore
    traces:
      span: ['resource.attributes["service.name"] != "my-gateway"']
  groupbytrace: { wait_duration: 10s }
  batch: { send_batch_size: 1000 }
${collectorPipeline(to, 'traces', 'otlp', ['filter/gateways', 'groupbytrace', 'batch'])}`,
          },
        },
      ],
    },
  ],
  notes: [
    'Compress with `gzip`, as exporters do by default, over HTTP also with `zstd` or `deflate`. Anything else is refused, and what is refused so a Collector drops.',
    'A SERVER span is a call; its CLIENT children say how long the upstream took, and AI attributes of all that is below it are added up. Without a SERVER span the topmost span of an AI call is one, but of an agent each AI call below it. Everything else is skipped.',
    'Spans of one call that arrive apart are not joined: an AI span that comes without its parent counts as a call of its own.',
    'Events of AI calls, which are log records named `gen_ai.…`, belong to their span: send the spans, too.',
    'Sampled traces count too little: sample after Quotacast, or send log records of all calls.',
    'HTTP and GenAI semantic conventions are read as they are now and as they were before; also OpenInference, OpenLLMetry, and the names of Envoy, Istio and Traefik in log records.',
    'Who called: `enduser.id`, `user.id`, `consumer`, `quotacast.consumer` and `quotacast.tenant`, else the fingerprint of a captured header with a key.',
    'The time of a log record is the end of its call, but for those of Envoy; `start_time` and `duration_ms` are believed before it.',
    'Prompts and completions are dropped before anything else happens; better still, do not export them.',
  ],
  hints: {
    consumer: 'Set `enduser.id` (or `quotacast.consumer`) on the SERVER span to the name of the caller.',
    tenant: 'Set `quotacast.tenant` on the SERVER span, or as a resource attribute.',
    upstreamLatencyMs: 'Export the CLIENT spans of the calls to the upstream together with the SERVER span.',
    inputTokens: 'Set `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens`, or let the AI SDK be instrumented.',
    outputTokens:
      'Set `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens`, or let the AI SDK be instrumented.',
    upstreamLimits:
      'Let the instrumentation of the HTTP client capture the response headers (`OTEL_INSTRUMENTATION_HTTP_CLIENT_CAPTURE_RESPONSE_HEADERS` in some SDKs).',
    requestBytes: 'Set `http.request.body.size`.',
    responseBytes: 'Set `http.response.body.size`.',
  },
}
