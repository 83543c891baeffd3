/**
 * Metrics and traces of one role. Prometheus reads `/metrics` always; OTLP is sent only when OpenTelemetry's standard
 * variables ask for it. Instruments made before the start stay deaf for ever, so this starts before the parts load.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { telemetryEnvironment } from './config.ts'

export interface Telemetry {
  /** Answers a scrape in Prometheus' text format. */
  serveMetrics(request: IncomingMessage, response: ServerResponse): void
  /** Whether spans go anywhere; without it making them would be waste. */
  isTracing: boolean
  /** Sends what is left; bounded by the exporters' own timeouts. */
  close(): Promise<void>
}

/** Starts the SDK and makes it the process' own. Call once, before anything that makes instruments is imported. */
export async function startTelemetry(role: string): Promise<Telemetry> {
  const { sendsTraces, sendsMetrics, serviceName } = telemetryEnvironment()
  const prometheus = new PrometheusExporter({ preventServerStart: true })
  const sdk = new NodeSDK({
    serviceName: serviceName ?? `quotacast-${role}`,
    // Others would put the command line, its owner and the host's name into every scrape. Of a role there may be several
    // processes: taken for one, their counters would go up and down.
    resourceDetectors: [{ detect: () => ({ attributes: { 'service.instance.id': randomUUID() } }) }],
    instrumentations: [],
    logRecordProcessors: [],
    metricReaders: sendsMetrics ? [prometheus, await otlpReader()] : [prometheus],
    // Left out, the SDK makes the processors that the variables name; empty, it makes none and needs no collector.
    ...(sendsTraces ? {} : { spanProcessors: [] }),
  })
  sdk.start()
  return {
    serveMetrics: (request, response) => prometheus.getMetricsRequestHandler(request, response),
    isTracing: sendsTraces,
    close: () => sdk.shutdown(),
  }
}

/** The SDK takes either our readers or the environment's; so that `/metrics` stays, the environment's is made here. */
async function otlpReader() {
  const [{ PeriodicExportingMetricReader }, { OTLPMetricExporter }] = await Promise.all([
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/exporter-metrics-otlp-proto'),
  ])
  return new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() })
}
