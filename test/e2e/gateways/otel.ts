import { startGateway } from '../../servers/gateways/gateway.ts'
import { type Place, type Subject, snippetAt, type Tells } from './subject.ts'

const GATEWAY = new URL('otel-gateway.ts', import.meta.url).pathname

/** The conventions have neither a status nor an error for clients that leave. */
const tells: Tells = {
  of: {
    '/stranger': { consumer: 'a fingerprint' },
    '/hanging': { outcome: 'ok', responseBytes: null },
    '/torn': { outcome: 'ok', responseBytes: null },
    '/denied': { responseBytes: null },
    '/dead': { responseBytes: null },
  },
}

/** With the variables of a snippet of the guide; what it adds to them sends sooner and says who sends. */
const start =
  (name: string, snippet: number): Subject['start'] =>
  place =>
    startGateway({
      name,
      command: 'env',
      args: () => [
        ...snippetAt(place, snippet).split('\n'),
        'OTEL_BSP_SCHEDULE_DELAY=200',
        `OTEL_SERVICE_NAME=${name}`,
        process.execPath,
        GATEWAY,
        ...portsOf(place).map(String),
      ],
      files: () => ({}),
      port: place.port,
    })

const portsOf = ({ port, backendPort, deadPort }: Place) => [port, backendPort, deadPort]

const GUIDED = { source: 'otlp', guide: 'otlp', setups: ['From an SDK'], checks: [], tells }

export const otelSubjects: readonly Subject[] = [
  { ...GUIDED, name: 'otel-http', start: start('otel-http', 0) },
  { ...GUIDED, name: 'otel-grpc', start: start('otel-grpc', 1) },
]
