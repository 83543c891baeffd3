import Type, { type Static } from 'typebox'
import { tlsClientOptions } from '../../collector/tls.ts'

export const RedisLimitsOptions = Type.Object(
  {
    kind: Type.Literal('redis', { description: 'A Redis primary, which several limiters share.' }),
    url: Type.String({
      default: 'redis://127.0.0.1:6379',
      pattern: '^rediss?://[^@/?#\\s]+$',
      description: '`redis://host:port`, or `rediss://host:port` for TLS. One primary: Redis Cluster is refused.',
    }),
    username: Type.Optional(Type.String({ minLength: 1, description: 'User of the ACL; absent for `default`.' })),
    password: Type.Optional(Type.String({ minLength: 1, writeOnly: true, description: "The user's password." })),
    db: Type.Integer({ default: 0, minimum: 0, description: 'Number of the database.' }),
    keyPrefix: Type.String({
      default: 'quotacast:',
      pattern: '^[A-Za-z0-9:._-]{1,64}$',
      description: 'Begin of the name of every key; limiters with the same one share their counters.',
    }),
    tls: Type.Optional(tlsClientOptions('Details of TLS, with `rediss://` only; absent: what Node trusts.')),
    bucketsMax: Type.Integer({
      default: 2_000_000,
      minimum: 1_000,
      description: 'Subjects in open windows; beyond, quotas answer to others as `onStoreFailure` says.',
    }),
    requestsMax: Type.Integer({
      default: 200_000,
      minimum: 0,
      description: 'Checks with a request id that wait for their call record; the oldest make room.',
    }),
  },
  { additionalProperties: false },
)
export type RedisLimitsOptions = Static<typeof RedisLimitsOptions>
