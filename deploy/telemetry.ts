/**
 * Metrics and traces of one role. Prometheus reads `/metrics` always; OTLP is sent only when OpenTelemetry's standard
 * variables ask for it. Instruments made before the start stay deaf for ever, so this starts before the parts load.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { DiagLogLevel, diag } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { envDetector } from '@opentelemetry/resources'
import { AggregationTemporality, InstrumentType, type MetricReader } from '@opentelemetry/sdk-metrics'
import { NodeSDK } from '@opentelemetry/sdk-node'
import type { Logger } from 'pino'
import packageJson from '../package.json' with { type: 'json' }
import { type TelemetryEnvironment, telemetryEnvironment } from './config.ts'
import { measureProcess } from './process-metrics.ts'

/** Whoever scrapes gives up after ten seconds: what cannot be measured until then, as a log that is away, is left out. */
const COLLECT_MS_MAX = 5_000
/** At the end, for what is still to be sent: a receiver that does not answer must not make the stop an unclean one. */
const CLOSE_MS_MAX = 2_000
/** Of one instrument; further ones are added up to one. There may be 10,000 quotas, each with two results, and others were there before. */
const SERIES_MAX = 100_000
/** Different things that the SDK may say of itself. */
const PROBLEMS_MAX = 20

export interface Telemetry {
  /** What is measured, in Prometheus' text format. */
  metrics(): Promise<string>
  /** Whether spans go anywhere; without it making them would be waste. */
  isTracing: boolean
  /** Has it logged what goes wrong with sending, each thing once. */
  logTo(log: Logger): void
  /** Sends what is left, for two seconds at most. */
  close(): Promise<void>
}

/** Starts the SDK and makes it the process' own. Call once, before anything that makes instruments is imported. */
export async function startTelemetry(role: string): Promise<Telemetry> {
  const environment = telemetryEnvironment()
  const { isOn, sendsTraces, sendsMetrics, serviceName } = environment
  const prometheus = withoutGone(new PrometheusExporter({ preventServerStart: true }))
  const serializer = new PrometheusSerializer()
  const logTo = environment.saysItself ? () => undefined : collectProblems()
  const attributes = { 'service.instance.id': randomUUID(), 'service.version': packageJson.version }
  const sdk = new NodeSDK({
    serviceName: serviceName ?? `quotacast-${role}`,
    // Others would put the command line, its owner and the host's name into every scrape. Of a role there may be several
    // processes: taken for one, their counters would go up and down.
    resourceDetectors: [envDetector, { detect: () => ({ attributes }) }],
    instrumentations: [],
    logRecordProcessors: [],
    metricReaders: sendsMetrics ? [prometheus, withoutGone(await otlpReader(environment))] : [prometheus],
    // Left out, the SDK makes the processors that the variables name; empty, it makes none and needs no collector.
    ...(sendsTraces ? {} : { spanProcessors: [] }),
  })
  sdk.start()
  measureProcess()
  return {
    async metrics() {
      if (!isOn) return '# OTEL_SDK_DISABLED is true: nothing is measured\n'
      const { resourceMetrics, errors } = await prometheus.collect({ timeoutMillis: COLLECT_MS_MAX })
      for (const error of errors) diag.error(`a measurement failed: ${error}`)
      return `${serializer.serialize(resourceMetrics).trimEnd()}\n`
    },
    isTracing: sendsTraces,
    logTo,
    close: () => Promise.race([sdk.shutdown().catch(sayNotSent), sleep(CLOSE_MS_MAX)]),
  }
}

/**
 * Has a gauge told of what is there only. The SDK would go on telling the last value of what is not observed any more, and
 * Prometheus would ring for ever for a quota that had run out when it was removed. Counters stay: what has happened has happened.
 */
function withoutGone<Reader extends MetricReader>(reader: Reader): Reader {
  const temporalityOf = reader.selectAggregationTemporality.bind(reader)
  return Object.assign(reader, {
    selectAggregationTemporality: (type: InstrumentType) =>
      type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : temporalityOf(type),
    selectCardinalityLimit: () => SERIES_MAX,
  })
}

/** The SDK takes either our readers or the environment's; so that `/metrics` stays, the environment's is made here. */
async function otlpReader({ metricsProtocol, exportIntervalMillis, exportTimeoutMillis }: TelemetryEnvironment) {
  const [{ PeriodicExportingMetricReader }, { OTLPMetricExporter }] = await Promise.all([
    import('@opentelemetry/sdk-metrics'),
    EXPORTERS[metricsProtocol](),
  ])
  return new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(),
    exportIntervalMillis,
    exportTimeoutMillis: Math.min(exportTimeoutMillis, exportIntervalMillis),
  })
}

const EXPORTERS = {
  grpc: () => import('@opentelemetry/exporter-metrics-otlp-grpc'),
  'http/json': () => import('@opentelemetry/exporter-metrics-otlp-http'),
  'http/protobuf': () => import('@opentelemetry/exporter-metrics-otlp-proto'),
} as const

/** The SDK tells what goes wrong to nobody unless it is asked to, and then with every batch. */
function collectProblems(): Telemetry['logTo'] {
  const problems = new Set<string>()
  let log: Logger | null = null
  const warn = (reason: string) => log?.warn({ reason }, 'something is not measured, or not sent')
  const say = (...parts: unknown[]) => {
    const reason = messageOf(parts.join(' '))
    if (problems.size === PROBLEMS_MAX || problems.has(reason)) return
    problems.add(reason)
    warn(reason)
  }
  const silent = () => undefined
  diag.setLogger({ error: say, warn: say, info: silent, debug: silent, verbose: silent }, DiagLogLevel.WARN)
  return logger => {
    log = logger
    problems.forEach(warn)
  }
}

/** Nobody being there to receive it is no failure of ours. */
const sayNotSent = (error: unknown): void => diag.error(`what was left is not sent: ${error}`)

/** Of an error that the SDK made into JSON, with its stack. */
function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text
  } catch {
    return text
  }
}
