/**
 * Reads the config. Sources in order, later ones win: defaults, YAML file, environment (`QUOTACAST_LIMITER__PORT=8012`),
 * flags. The only file that reads `process.env`. The schemas load late, because the parts that own them make their
 * metrics when they load, and telemetry has to be there first.
 */
import { resolve } from 'node:path'
import { stringify } from 'yaml'
import { readConfigFile } from './config-file.ts'
import { ConfigError, configProblems } from './config-problems.ts'
import type { Config } from './config-schema.ts'
import {
  type ConfigSchema,
  convertUnits,
  fillDefaults,
  isObject,
  type Json,
  type JsonObject,
  maskSecrets,
  merge,
  nested,
  parseScalar,
} from './config-values.ts'
import { parseYaml, YamlError } from './config-yaml.ts'

const ENVIRONMENT_PREFIX = 'QUOTACAST_'
/** Names the config file; not a key of the config. */
const ENVIRONMENT_FILE = 'QUOTACAST_CONFIG'

/** Which case each choice takes when nobody says. */
const DEFAULT_CHOICES: JsonObject = {
  log: { kind: 'embedded' },
  store: { kind: 'embedded' },
  limits: { kind: 'embedded' },
}

type Environment = Readonly<Record<string, string | undefined>>

export interface ConfigSources {
  /** YAML file; else the one that `QUOTACAST_CONFIG` names; else none. */
  file?: string | undefined
  dataDir?: string | undefined
  /** `key.key=value`, as given to `--set`. */
  overrides?: readonly string[]
  environment?: Environment
}

/** Reads, merges and checks the config; `dataDir` is absolute in the result. Throws `ConfigError` with all problems. */
export async function loadConfig(sources: ConfigSources): Promise<Config> {
  const { configSchema, contradictionsOf } = await import('./config-schema.ts')
  const environment = sources.environment ?? process.env
  const problems: string[] = []
  const origins: Origins = new Map()
  const layers = [
    readFile(sources.file ?? environment[ENVIRONMENT_FILE], problems),
    readEnvironment(configSchema, environment, { problems, origins }),
    readOverrides(configSchema, sources.overrides ?? [], { problems, origins }),
    sources.dataDir === undefined ? {} : { dataDir: sources.dataDir },
  ]
  const written = layers.reduce<Json>(merge, DEFAULT_CHOICES)
  const whole: unknown = fillDefaults(configSchema, convertUnits(configSchema, written))
  for (const problem of configProblems(configSchema, whole)) problems.push(withOrigin(problem, origins))
  if (problems.length > 0) throw new ConfigError(problems)
  const config = whole as Config
  const contradictions = [...contradictionsOf(config)]
  if (contradictions.length > 0) throw new ConfigError(contradictions)
  return deepFreeze({ ...config, dataDir: resolve(config.dataDir) })
}

/** Which variable or flag said last what a key is. */
type Origins = Map<string, string>
interface Found {
  problems: string[]
  origins: Origins
}

/** Whoever set a variable, or what did, as Kubernetes does for its services, knows it by its name. */
function withOrigin(problem: string, origins: Origins): string {
  const at = problem.indexOf(': ')
  const [key, message] = [problem.slice(0, at), problem.slice(at + 2)]
  // What is unknown is told at its first part.
  const isMeant = (path: string) => path === key || (path.startsWith(`${key}.`) && message.startsWith('is unknown'))
  const [, origin] = [...origins].find(([path]) => isMeant(path)) ?? []
  return origin === undefined ? problem : `${problem} (from ${origin})`
}

function readFile(file: string | undefined, problems: string[]): Json {
  if (file === undefined || file === '') return {}
  try {
    const content = parseYaml(readConfigFile(file)) ?? {}
    if (isObject(content)) return content
    problems.push(`${file}: must have sections at its top`)
  } catch (error) {
    const found = error instanceof YamlError ? error.problems : [error instanceof Error ? error.message : String(error)]
    for (const problem of found) problems.push(`${file}: ${problem}`)
  }
  return {}
}

/** `QUOTACAST_LIMITER__DEADLINE_MS` is `limiter.deadlineMs`. */
function readEnvironment(schema: ConfigSchema, environment: Environment, found: Found): Json {
  let config: Json = {}
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith(ENVIRONMENT_PREFIX) || name === ENVIRONMENT_FILE || text === undefined) continue
    const path = name.slice(ENVIRONMENT_PREFIX.length).split('__').map(toCamel)
    config = merge(config, readValue(schema, path, text, name, found))
  }
  return config
}

const toCamel = (snake: string) => snake.toLowerCase().replaceAll(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase())

function readOverrides(schema: ConfigSchema, overrides: readonly string[], found: Found): Json {
  let config: Json = {}
  for (const override of overrides) {
    const [, key, text] = /^([^=]+)=(.*)$/s.exec(override) ?? []
    if (key === undefined || text === undefined) {
      found.problems.push(`--set ${override}: must be KEY=VALUE`)
      continue
    }
    config = merge(config, readValue(schema, key.split('.'), text, `--set ${key}`, found))
  }
  return config
}

/** One value at its place; nothing where it is no YAML. The text is not quoted: it may be a secret. */
function readValue(
  schema: ConfigSchema,
  path: readonly string[],
  text: string,
  from: string,
  { problems, origins }: Found,
): Json {
  try {
    const value = nested(path, parseScalar(schema, path, text))
    origins.set(path.join('.'), from)
    return value
  } catch {
    problems.push(`${from}: is not a YAML value`)
    return {}
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}

/** The config with secrets masked, for people (YAML) or machines (JSON). */
export async function printConfig(config: Config, as: 'yaml' | 'json'): Promise<string> {
  const { configSchema } = await import('./config-schema.ts')
  const masked = maskSecrets(configSchema, JSON.parse(JSON.stringify(config)))
  return as === 'json' ? JSON.stringify(masked, null, 2) : stringify(masked).trimEnd()
}

const isSet = (value: string | undefined) => value !== undefined && value !== ''

/** That of this process and more, for one that it starts or becomes. */
export const environmentWith = (more: Environment): Environment => ({ ...process.env, ...more })

const METRICS_PROTOCOLS = ['grpc', 'http/json', 'http/protobuf'] as const

/** Of OpenTelemetry's specification. */
const EXPORT_INTERVAL_MS = 60_000
const EXPORT_TIMEOUT_MS = 30_000

export type TelemetryEnvironment = ReturnType<typeof telemetryEnvironment>

/** What OpenTelemetry's standard variables ask for; without them nothing is sent anywhere. */
export function telemetryEnvironment(environment: Environment = process.env) {
  const isOn = environment.OTEL_SDK_DISABLED?.toLowerCase() !== 'true'
  const exportersOf = (signal: 'TRACES' | 'METRICS'): string => {
    const stated = environment[`OTEL_${signal}_EXPORTER`]
    const endpoints = ['OTEL_EXPORTER_OTLP_ENDPOINT', `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]
    return stated || (endpoints.some(name => isSet(environment[name])) ? 'otlp' : 'none')
  }
  const protocol = [environment.OTEL_EXPORTER_OTLP_METRICS_PROTOCOL, environment.OTEL_EXPORTER_OTLP_PROTOCOL].find(
    isSet,
  )
  return {
    isOn,
    sendsTraces: isOn && exportersOf('TRACES') !== 'none',
    // Prometheus has its `/metrics` always.
    sendsMetrics: isOn && exportersOf('METRICS').split(',').includes('otlp'),
    serviceName: environment.OTEL_SERVICE_NAME,
    metricsProtocol: METRICS_PROTOCOLS.find(known => known === protocol) ?? 'http/protobuf',
    exportIntervalMillis: Number(environment.OTEL_METRIC_EXPORT_INTERVAL) || EXPORT_INTERVAL_MS,
    exportTimeoutMillis: Number(environment.OTEL_METRIC_EXPORT_TIMEOUT) || EXPORT_TIMEOUT_MS,
    /** The SDK then prints what it does. */
    saysItself: isSet(environment.OTEL_LOG_LEVEL),
  }
}
