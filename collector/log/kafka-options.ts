import Type, { type Static } from 'typebox'
import { tlsClientOptions } from '../tls.ts'

const KafkaSaslOptions = Type.Object(
  {
    mechanism: Type.Enum(['plain', 'scram-sha-256', 'scram-sha-512'], { description: 'How we prove who we are.' }),
    username: Type.String({ minLength: 1, description: 'User of the brokers.' }),
    password: Type.String({ minLength: 1, writeOnly: true, description: 'Password of that user.' }),
  },
  { additionalProperties: false, description: 'Signs in at the brokers; absent: we do not.' },
)

export const KafkaLogOptions = Type.Object(
  {
    kind: Type.Literal('kafka', { description: 'Apache Kafka 3.6 or newer.' }),
    brokers: Type.Array(Type.String({ pattern: '^(?:\\[[^\\s/[\\]]+\\]|[^\\s:/]+):[0-9]{1,5}$' }), {
      minItems: 1,
      maxItems: 64,
      uniqueItems: true,
      description: 'Brokers to ask first, `host:port` or `[IPv6 address]:port`; they name the others.',
    }),
    clientId: Type.String({ default: 'quotacast', minLength: 1, description: 'Names us in the logs of the brokers.' }),
    topicPrefix: Type.String({
      default: 'quotacast.',
      pattern: '^[A-Za-z0-9._-]{0,200}$',
      description: 'Begins the names of the four topics: calls, rejections, decisions, control.',
    }),
    groupPrefix: Type.String({
      default: 'quotacast.',
      maxLength: 200,
      description: 'Begins the names of the consumer groups, one for each reader.',
    }),
    partitions: Type.Integer({
      default: 6,
      minimum: 1,
      maximum: 256,
      description: 'Partitions of each topic that we make (`control` has one): how many processes can share the work.',
    }),
    replicationFactor: Type.Integer({
      default: 3,
      minimum: 1,
      maximum: 16,
      description: 'Copies of each partition. 1 where there is a single broker.',
    }),
    minInsyncReplicas: Type.Integer({
      default: 2,
      minimum: 1,
      maximum: 16,
      description: 'Copies that must have an entry before it is acknowledged. 1 where there is a single broker.',
    }),
    retentionSeconds: Type.Integer({
      default: 7 * 86_400,
      minimum: 60,
      description: 'How long handled entries are kept for replay.',
    }),
    appendTimeoutMs: Type.Integer({
      default: 10_000,
      minimum: 1_000,
      maximum: 120_000,
      description: 'How long an append may take, elections of a leader included, before receivers answer 503.',
    }),
    sessionTimeoutMs: Type.Integer({
      default: 30_000,
      minimum: 1_000,
      maximum: 1_800_000,
      description: 'After how long of silence a reader has lost its partitions. The brokers bound it (6s to 30m).',
    }),
    rebalanceTimeoutMs: Type.Integer({
      default: 60_000,
      minimum: 1_000,
      maximum: 1_800_000,
      description: 'How long a reader may finish what it handles when partitions are shared out anew.',
    }),
    tls: Type.Optional(tlsClientOptions('Encrypts the connections; absent: they are not. `{}` is enough.')),
    sasl: Type.Optional(KafkaSaslOptions),
  },
  { additionalProperties: false },
)
export type KafkaLogOptions = Static<typeof KafkaLogOptions>
