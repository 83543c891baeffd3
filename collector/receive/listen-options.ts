/** What the config says of the ways in that the collector opens by itself: files, syslog and foreign Kafka topics. */
import Type, { type Static } from 'typebox'
import { KafkaLogOptions } from '../log/kafka-options.ts'
import { TlsServerOptions } from '../tls.ts'

const PATTERNS_MAX = 64
const TOPICS_MAX = 64

const path = (description: string) => Type.String({ minLength: 1, maxLength: 4096, description })

export const FileReceive = Type.Object(
  {
    kind: Type.Literal('file', { description: 'Files of this machine that a gateway goes on writing.' }),
    paths: Type.Array(path('A path; `*`, `?`, `[…]` and `**` stand for what they stand for in a shell.'), {
      minItems: 1,
      maxItems: PATTERNS_MAX,
      uniqueItems: true,
      description: 'The files. With the rotated ones among them, a rotation while we are away costs nothing.',
    }),
    from: Type.Enum(['begin', 'end'], {
      default: 'begin',
      description: 'Where to begin in files that are there at the very first start; later ones are read whole.',
    }),
  },
  { additionalProperties: false },
)
export type FileReceive = Static<typeof FileReceive>

/** No default of the port: two sources would have the same. */
const listening = {
  host: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on.' }),
  port: Type.Integer({ minimum: 1, maximum: 65_535, description: 'Port to listen on.' }),
}

export const SyslogUdpReceive = Type.Object(
  {
    kind: Type.Literal('syslog_udp', {
      description: 'Syslog datagrams (RFC 3164, RFC 5424) or bare lines. UDP loses what comes too fast.',
    }),
    ...listening,
  },
  { additionalProperties: false },
)
export type SyslogUdpReceive = Static<typeof SyslogUdpReceive>

export const SyslogTcpReceive = Type.Object(
  {
    kind: Type.Literal('syslog_tcp', {
      description: 'Syslog over TCP, each message with its length before it or a line break behind it, or bare lines.',
    }),
    ...listening,
    tls: Type.Optional(TlsServerOptions),
  },
  { additionalProperties: false },
)
export type SyslogTcpReceive = Static<typeof SyslogTcpReceive>

const { brokers, clientId, tls, sasl } = KafkaLogOptions.properties

export const KafkaReceive = Type.Object(
  {
    kind: Type.Literal('kafka', { description: 'Topics that a gateway, or what ships its logs, writes.' }),
    ...{ brokers, clientId },
    topics: Type.Array(Type.String({ pattern: '^[A-Za-z0-9._-]{1,249}$' }), {
      minItems: 1,
      maxItems: TOPICS_MAX,
      uniqueItems: true,
      description: 'Topics to read.',
    }),
    groupId: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'Consumer group that keeps our position; absent: `quotacast-` and the name of the source.',
      }),
    ),
    from: Type.Enum(['begin', 'end'], {
      default: 'begin',
      description: 'Where a group begins that has never read; partitions that come later are read whole.',
    }),
    format: Type.Enum(['text', 'otlp_logs', 'otlp_traces'], {
      default: 'text',
      description: 'What a message holds: JSON or lines, or an OTLP export request in protobuf.',
    }),
    ...{ tls, sasl },
  },
  { additionalProperties: false },
)
export type KafkaReceive = Static<typeof KafkaReceive>
