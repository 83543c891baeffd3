/** The whole config as one schema: each part's own section, and those of the deployment itself. */
import Type, { type Static, type TProperties, type TSchema } from 'typebox'
import { AlertOptions, unknownChannels } from '../analyzer/alert/alert-options.ts'
import { AnalyzerOptions, analyzerProblems } from '../analyzer/analyzer.ts'
import { descriptorProblems } from '../analyzer/limit/grpc/descriptors.ts'
import { LimitsOptions } from '../analyzer/limit/limits-options.ts'
import { LimiterOptions } from '../analyzer/limiter.ts'
import { DIMENSIONS, parseQuota, QUOTAS_MAX, QuotaError } from '../analyzer/policy/quota.ts'
import { QuotaOptions } from '../analyzer/policy/quota-options.ts'
import { CollectorOptions } from '../collector/collector.ts'
import { createIdentity, IdentityError, KeyOptions } from '../collector/identity.ts'
import { LogOptions } from '../collector/log/call-log.ts'
import { MappingError, MappingOptions, mappingDialect } from '../collector/normalize/mapping.ts'
import { PriceOptions } from '../collector/prices.ts'
import { SCOPES } from '../collector/principal.ts'
import { createSources, SourceError, SourceOptions } from '../collector/receive/sources.ts'
import { AuditRetentionSeconds } from '../collector/store/audit-retention.ts'
import { ClickHouseStoreOptions } from '../collector/store/clickhouse-options.ts'
import { EmbeddedStoreOptions } from '../collector/store/open.ts'
import { tlsProblems } from '../collector/tls.ts'
import type { ConfigSchema } from './config-values.ts'
import { rawKeyProblems } from './raw-key-problems.ts'

/** Most labels that become columns, and so can be used by quotas. */
const LABEL_COLUMNS_MAX = 2
/** Most keys of one kind at once: the one in use and those it replaces. */
const SECRET_KEYS_MAX = 4
const SECRET_CHARACTERS_MIN = 32

const closed = <T extends TProperties>(properties: T, options: { description?: string } = {}) =>
  Type.Object(properties, { additionalProperties: false, default: {}, ...options })

/** Where a role listens. */
const listening = (port: number) => ({
  host: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on.' }),
  port: Type.Integer({ default: port, minimum: 1, maximum: 65_535, description: 'Port to listen on.' }),
})

const secretKeys = (description: string) =>
  Type.Optional(
    Type.Array(Type.String({ minLength: SECRET_CHARACTERS_MIN }), {
      minItems: 1,
      maxItems: SECRET_KEYS_MAX,
      writeOnly: true,
      description: `${description} Newest first: the first one writes, all of them read. Made at first start where everything is embedded, required otherwise.`,
    }),
  )

const AuthToken = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 64, description: 'Names the token in the audit.' }),
    sha256: Type.String({
      pattern: '^[0-9a-f]{64}$',
      description: 'SHA-256 of the token in hex: the token stays with its owner.',
    }),
    scopes: Type.Array(Type.Enum(SCOPES), {
      minItems: 1,
      description: 'What it may do; `admin` includes the others.',
    }),
    tenant: Type.Optional(
      Type.String({ minLength: 1, maxLength: 512, description: 'The only tenant it may see or write; absent: all.' }),
    ),
  },
  { additionalProperties: false },
)

const ConfigOptions = closed({
  dataDir: Type.String({
    default: './data',
    minLength: 1,
    description: 'Everything that is kept, below the working directory unless absolute.',
  }),
  log: LogOptions,
  store: Type.Union(
    [
      Type.Object(
        {
          ...EmbeddedStoreOptions.properties,
          auditRetentionSeconds: AuditRetentionSeconds,
          healthPort: Type.Integer({
            default: 7415,
            minimum: 1,
            maximum: 65_535,
            description: "Port of the store role's own health and metrics; the interface of the engine has another.",
          }),
        },
        { additionalProperties: false },
      ),
      Type.Object(
        { ...ClickHouseStoreOptions.properties, auditRetentionSeconds: AuditRetentionSeconds },
        { additionalProperties: false },
      ),
    ],
    { description: 'Where calls and forecasts are kept and queried.' },
  ),
  limits: LimitsOptions,
  collector: closed(
    { ...listening(7411), ...CollectorOptions.properties },
    { description: 'Receives calls and writes them to the store.' },
  ),
  limiter: closed(
    { ...listening(7412), ...LimiterOptions.properties },
    { description: 'Decides whether calls may pass.' },
  ),
  analyzer: closed(
    { ...listening(7414), ...AnalyzerOptions.properties },
    { description: 'Forecasts, and answers queries.' },
  ),
  labels: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), {
    default: [],
    maxItems: LABEL_COLUMNS_MAX,
    uniqueItems: true,
    description:
      'Labels of call records that become columns, so that quotas and queries can use them. None is named as a dimension.',
  }),
  mappings: MappingOptions,
  sources: SourceOptions,
  prices: PriceOptions,
  currency: Type.String({
    default: 'USD',
    pattern: '^[A-Z]{3}$',
    description: 'Currency of every cost, as in ISO 4217.',
  }),
  keys: KeyOptions,
  quotas: Type.Array(QuotaOptions, {
    default: [],
    maxItems: QUOTAS_MAX,
    description: 'Who may use how much of what, in which window.',
  }),
  alerts: AlertOptions,
  secrets: closed({
    fingerprintKeys: secretKeys('Keys of the fingerprints that stand for raw credentials.'),
    decisionKeys: secretKeys("Keys that sign the limiter's decision ids."),
  }),
  auth: closed({
    tokens: Type.Array(AuthToken, {
      default: [],
      maxItems: 1000,
      description: 'Tokens beside those made by `quotacast token`.',
    }),
  }),
  grafana: closed(
    {
      token: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 512,
          writeOnly: true,
          description: 'Token of a service account that may write dashboards and folders.',
        }),
      ),
      folder: Type.String({ default: 'Quotacast', minLength: 1, maxLength: 128, description: 'Title of the folder.' }),
    },
    { description: 'Where `quotacast dashboards --grafana` puts the dashboards.' },
  ),
  logging: closed({
    level: Type.Enum(['debug', 'info', 'warn', 'error'], {
      default: 'info',
      description: 'The least severe log line that is written.',
    }),
  }),
})
/** The same for what walks it: the static type of the whole is deeper than the compiler follows. */
export const configSchema = ConfigOptions as unknown as TSchema & ConfigSchema
/** What `loadConfig` answers: checked, whole and frozen. */
export type Config = Readonly<Static<typeof ConfigOptions>>

/** What the schemas cannot say: names that clash, ports that clash, quotas, mappings and keys that make no sense. */
export function* contradictionsOf(config: Config): Iterable<string> {
  for (const [index, label] of config.labels.entries()) {
    if (DIMENSIONS.some(dimension => dimension === label))
      yield `labels[${index}]: ${label} is a dimension of every call, which is what quotas and queries would find by that name`
  }
  for (const [index, quota] of config.quotas.entries()) {
    yield* problemsOf(
      () => parseQuota(quota, config.labels),
      error => (error instanceof QuotaError ? error.problems.map(problem => quotaProblem(index, problem)) : null),
    )
  }
  for (const [name, mapping] of Object.entries(config.mappings)) {
    yield* problemsOf(
      () => mappingDialect(name, mapping),
      error => (error instanceof MappingError ? error.problems : null),
    )
  }
  yield* problemsOf(
    () => createSources(config.sources, config.mappings),
    error => (error instanceof SourceError ? error.problems : error instanceof MappingError ? [] : null),
  )
  yield* problemsOf(
    () => createIdentity({ fingerprintKeys: [''], keys: config.keys }),
    error => (error instanceof IdentityError ? [error.message] : null),
  )
  const channels = new Set(Object.keys(config.alerts.channels))
  for (const [index, quota] of config.quotas.entries()) {
    for (const name of unknownChannels(quota, channels))
      yield `quotas[${index}].alerts.channels: there is no channel ${name} in alerts.channels`
  }
  yield* rawKeyProblems(config)
  const quotaNames = config.quotas.map(quota => quota.name)
  yield* twice(quotaNames, 'quotas', 'name')
  const tokenNames = config.auth.tokens.map(token => token.name)
  yield* twice(tokenNames, 'auth.tokens', 'name')
  const { store, collector, limiter, analyzer } = config
  const storePorts = store.kind === 'embedded' ? [store.port, store.healthPort] : []
  const ports = [
    ...storePorts,
    ...[collector.port, collector.grpc.port, limiter.port, limiter.grpc.port, analyzer.port],
  ]
  yield* descriptorProblems(limiter.grpc.descriptors, config.labels)
  yield* twice(ports, 'store, collector, limiter, analyzer', 'port')
  yield* analyzerProblems(analyzer)
  yield* missingSecrets(config)
  if (limiter.processes > 1 && config.limits.kind === 'embedded')
    yield 'limiter.processes: more than one process can only count together in Redis (limits.kind: redis)'
  yield* tlsContradictions(config)
}

function* tlsContradictions({ log, store, limits, sources }: Config): Iterable<string> {
  if (log.kind === 'kafka' && log.tls) yield* tlsProblems(log.tls, 'log.tls')
  if (store.kind === 'clickhouse' && store.tls) {
    yield* tlsProblems(store.tls, 'store.tls')
    if (!store.url.startsWith('https:')) yield 'store.tls: needs a url that begins with https://'
    if (store.tls.certFile !== undefined && store.password !== '')
      yield 'store: password and tls.certFile exclude each other'
  }
  if (limits.kind === 'redis' && limits.tls) {
    yield* tlsProblems(limits.tls, 'limits.tls')
    if (!limits.url.startsWith('rediss:')) yield 'limits.tls: needs a url that begins with rediss://'
  }
  for (const [name, { receive }] of Object.entries(sources)) {
    if ('tls' in receive && receive.tls) yield* tlsProblems(receive.tls, `sources.${name}.receive.tls`)
  }
}

/** Keys that one machine made for itself would be others on the next: equal callers would have unequal fingerprints. */
function* missingSecrets({ log, store, limits, secrets }: Config): Iterable<string> {
  const kinds = Object.entries({ log, store, limits }).filter(([, { kind }]) => kind !== 'embedded')
  const [distributed] = kinds.map(([section, { kind }]) => `${section}.kind: ${kind}`)
  if (distributed === undefined) return
  for (const key of ['fingerprintKeys', 'decisionKeys'] as const) {
    if (secrets[key] === undefined)
      yield `secrets.${key}: is required with ${distributed}, the same on every machine; make one with: openssl rand -hex 32`
  }
}

/** Problems of the error that `attempt` throws; an error that is no config problem is a bug and passes. */
function problemsOf(attempt: () => unknown, problems: (error: unknown) => readonly string[] | null): readonly string[] {
  try {
    attempt()
    return []
  } catch (error) {
    const found = problems(error)
    if (found === null) throw error
    return found
  }
}

const quotaProblem = (index: number, { path, message }: { path: string; message: string }) =>
  `quotas[${index}]${path.replaceAll(/\/(\d+)(?=\/|$)/g, '[$1]').replaceAll('/', '.')}: ${message}`

function* twice(values: readonly (string | number)[], where: string, key: string): Iterable<string> {
  const seen = new Set<string | number>()
  for (const value of values) {
    if (seen.has(value)) yield `${where}: two have the ${key} ${value}`
    seen.add(value)
  }
}
