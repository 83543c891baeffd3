/** The config section `sources`: which gateways write, in which dialect, and how their calls arrive. */
import Type, { type Static } from 'typebox'
import { dialectsOf, type MappingOptions } from '../normalize/mapping.ts'
import { hasHeader } from './decode-lines.ts'
import { FileReceive, KafkaReceive, SyslogTcpReceive, SyslogUdpReceive } from './listen-options.ts'
import { type CallSource, plainSource } from './source.ts'

const SOURCES_MAX = 1000
const NAME = '^[a-z0-9][a-z0-9-]{0,63}$'

/** Senders bring the calls to `POST /v1/sources/{source}`, to the OTLP routes, or to the gRPC port. */
const HttpReceive = Type.Object(
  { kind: Type.Literal('http', { description: 'Whatever is sent to the collector under the name of the source.' }) },
  { additionalProperties: false },
)

/** How the calls of a source arrive; each way in brings its own case. */
const Receive = Type.Union([HttpReceive, FileReceive, SyslogUdpReceive, SyslogTcpReceive, KafkaReceive], {
  default: { kind: 'http' },
  description: 'How the calls arrive; absent: they are sent over HTTP or gRPC.',
})
type Receive = Static<typeof Receive>

const Source = Type.Object(
  {
    dialect: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: 'Built-in dialect, or mapping of the config, that reads it; absent: the one of that name.',
      }),
    ),
    gateway: Type.Optional(
      Type.String({ minLength: 1, maxLength: 512, description: 'Gateway of calls that name none; absent: the name.' }),
    ),
    tenant: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description: 'Tenant of callers of whom nothing else says it; absent: unknown.',
      }),
    ),
    timezone: Type.String({
      default: 'UTC',
      minLength: 1,
      description: 'IANA time zone of times that are written without one.',
    }),
    receive: Receive,
  },
  { additionalProperties: false },
)

/** By name. Every dialect is a source of its own name as well, without any config. */
export const SourceOptions = Type.Record(Type.String({ pattern: NAME }), Source, {
  maxProperties: SOURCES_MAX,
  default: {},
  description: 'Origins of calls by name: their dialect, what their calls have in common, and how they arrive.',
})
export type SourceOptions = Static<typeof SourceOptions>

/** Sources that make no sense, with everything that is wrong about them. */
export class SourceError extends Error {
  readonly code = 'SOURCE_INVALID'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'SourceError'
    this.problems = problems
  }
}

export interface ConfiguredSource {
  source: CallSource
  receive: Receive
}

export interface Sources {
  /** Those of the config, in its order. */
  configured: readonly ConfiguredSource[]
  /** The source of the config of that name, else the dialect of that name as a source. */
  find(name: string): CallSource | undefined
  /** Every name that `find` knows, those of the config first. */
  names: readonly string[]
}

/** Throws `SourceError`, and `MappingError` when a mapping makes no sense. */
export function createSources(options: SourceOptions, mappings: MappingOptions): Sources {
  const dialects = dialectsOf(mappings)
  const problems: string[] = []
  const configured: ConfiguredSource[] = []
  for (const [
    name,
    { dialect: dialectName = name, gateway = name, tenant = null, timezone, receive },
  ] of Object.entries(options)) {
    const dialect = dialects.get(dialectName)
    if (dialect === undefined) problems.push(`sources.${name}.dialect: ${unknownDialect(dialectName, dialects)}`)
    else configured.push({ source: { name, dialect, gateway, tenant, timezone }, receive })
    if (dialect !== undefined && hasHeader(dialect) && receive.kind.startsWith('syslog')) {
      problems.push(`sources.${name}.receive: syslog has no first line with the columns that ${dialect.name} needs`)
    }
    if (!isTimezone(timezone)) problems.push(`sources.${name}.timezone: is not a time zone: ${timezone}`)
  }
  if (problems.length > 0) throw new SourceError(problems)
  const byName = new Map<string, CallSource>(configured.map(({ source }) => [source.name, source]))
  for (const [name, dialect] of dialects) {
    if (!byName.has(name)) byName.set(name, { ...plainSource(dialect), gateway: name })
  }
  return { configured, names: [...byName.keys()], find: name => byName.get(name) }
}

const unknownDialect = (name: string, dialects: ReadonlyMap<string, unknown>) =>
  `there is no dialect or mapping ${name}, only ${[...dialects.keys()].join(', ')}`

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}
