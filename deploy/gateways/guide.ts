/** How a gateway is made to ship its calls and to ask before each: the one place of what `sources show` prints and the pages say. */
import type { CallRecord } from '../../collector/call-record.ts'

/** How calls get from a gateway to the collector. */
export type Way = 'http' | 'otlp' | 'otlp-grpc' | 'file' | 'syslog' | 'kafka' | 'envoy-als'

/** Where calls are sent, as snippets spell it. */
export interface Destination {
  /** Name of the source, as in `POST /v1/sources/{source}`. */
  source: string
  /** Of the collector, without a slash at its end. */
  url: string
  host: string
  port: number
  /** The collector's gRPC port: OTLP and Envoy's access log service. */
  grpcPort: number
  /** Where the syslog source of the snippet listens. */
  syslogPort: number
  /** Brokers of the topic that the snippet of Kafka names. */
  brokers: string
  /** Of the limiter, without a slash at its end. */
  limiterUrl: string
  limiterHost: string
  limiterPort: number
  /** The limiter's gRPC port: Envoy's rate limit service and ext_authz. */
  limiterGrpcPort: number
  /** A token of the scopes `ingest` and `check`. */
  token: string
}

/** Of the source, over TLS: cloud services send to nothing else. */
export const secureUrlOf = ({ url, source }: Destination): string =>
  `${url.replace(/^http:/, 'https:')}/v1/sources/${source}`

export interface Step {
  /** What to do, in Markdown. */
  text: string
  /** What to paste. */
  snippet?: { language: string; of: (to: Destination) => string }
}

/** Steps that belong together. */
export interface Setup {
  title: string
  steps: readonly Step[]
}

/** Who has run what a set-up tells to paste, in a real gateway of that version. */
export type Run =
  | { by: 'tests'; version: string }
  | { by: 'hand'; version: string; on: string }
  /** It was written from what its vendor documents. */
  | { by: 'nobody' }

export interface AskingSetup extends Setup {
  run: Run
}

export interface Guide {
  /** As in `quotacast sources show NAME`. */
  name: string
  title: string
  /** The dialect that reads it, whose name is that of the source that needs no config. */
  dialect: string
  /** Best first. */
  ways: readonly Way[]
  /** For each way that needs its own steps. */
  setups: readonly Setup[]
  /** How it asks the limiter before each call, best first; absent where it cannot. */
  asks?: readonly AskingSetup[]
  /** What it cannot tell, and what to watch, in Markdown. */
  notes: readonly string[]
  /** What to change in the gateway for a field that many set-ups leave empty, in Markdown; `quotacast try` says it. */
  hints?: Readonly<Partial<Record<keyof CallRecord, string>>>
}
