import Type, { type Static } from 'typebox'
import { tlsClientOptions } from '../tls.ts'

export const ClickHouseStoreOptions = Type.Object(
  {
    kind: Type.Literal('clickhouse', {
      description: 'A ClickHouse server. One endpoint, tables that are not replicated.',
    }),
    url: Type.String({
      default: 'http://127.0.0.1:8123',
      pattern: '^https?://[^@/?#\\s]+$',
      description: 'Its HTTP interface, `http://host:port` or `https://host:port`.',
    }),
    username: Type.String({ default: 'default', minLength: 1, description: 'Who we are there.' }),
    password: Type.String({
      default: '',
      writeOnly: true,
      description: "That user's password; none where a certificate is shown.",
    }),
    database: Type.String({
      default: 'quotacast',
      pattern: '^[A-Za-z_][A-Za-z0-9_]{0,63}$',
      description:
        'Database of our tables; made when there is none. Two installations, with a log each, need one each: their writers would keep each other out.',
    }),
    tls: Type.Optional(
      tlsClientOptions(
        'Details of TLS, with `https://` only; absent: what Node trusts. By our certificate the server knows the user.',
      ),
    ),
  },
  { additionalProperties: false },
)
export type ClickHouseStoreOptions = Static<typeof ClickHouseStoreOptions>
