/** The import table of the design as data, and what else a machine can guard: where files may be, how long, what they name. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

const REPOSITORY = new URL('..', import.meta.url).pathname
const LINES_MAX = 300

/** Packages that every part may name; of the second group the types only. */
const EVERYWHERE = ['typebox']
const TYPES_EVERYWHERE = ['pino', 'fastify', 'node']
const TABLES = 'collector/store/tables.ts'
const TLS = 'collector/tls.ts'

interface Part {
  /** A file, or a folder with a slash at its end; the longest that fits a file holds. */
  at: string
  /** What it may import besides itself: files, or folders with a slash at their end. */
  imports: readonly string[]
  /** Of these the types only. */
  types?: readonly string[]
  packages?: readonly string[]
  /** Packages of which it may name the types. */
  packageTypes?: readonly string[]
  /** `true` (the default): all built-in modules; else these. */
  node?: true | readonly string[]
  /** Not even what is allowed everywhere. */
  isPure?: boolean
}

const COLLECTOR_EVENTS = 'collector/events.ts'
const ANALYZER_EVENTS = 'analyzer/events.ts'

const RECEIVE_IMPORTS = [
  'collector/call-record.ts',
  'collector/principal.ts',
  'collector/all-tenants.ts',
  TLS,
  'collector/normalize/',
  'collector/log/',
  COLLECTOR_EVENTS,
]

const PARTS: readonly Part[] = [
  { at: 'collector/call-record.ts', imports: [], node: [] },
  { at: 'collector/principal.ts', imports: [], node: [] },
  { at: 'collector/identity.ts', imports: ['collector/call-record.ts'], node: ['node:crypto'] },
  { at: 'collector/prices.ts', imports: ['collector/call-record.ts'], node: ['node:crypto'] },
  { at: TLS, imports: [], node: ['node:crypto', 'node:fs', 'node:fs/promises'] },
  {
    at: 'collector/normalize/',
    imports: ['collector/call-record.ts', 'collector/identity.ts', 'collector/prices.ts', COLLECTOR_EVENTS],
  },
  { at: 'collector/log/', imports: ['collector/call-record.ts', TLS, COLLECTOR_EVENTS], packageTypes: ['kafkajs'] },
  { at: 'collector/log/embedded.ts', imports: ['collector/log/', COLLECTOR_EVENTS], packages: ['lmdb'] },
  { at: 'collector/log/kafka.ts', imports: ['collector/log/', COLLECTOR_EVENTS], packages: ['kafkajs'] },
  { at: 'collector/log/kafka-client.ts', imports: ['collector/log/', TLS], packages: ['kafkajs'] },
  { at: 'collector/receive/', imports: RECEIVE_IMPORTS },
  { at: 'collector/receive/kafka.ts', imports: ['collector/receive/', ...RECEIVE_IMPORTS], packages: ['kafkajs'] },
  ...['grpc', 'grpc-door'].map(name => ({
    at: `collector/receive/${name}.ts`,
    imports: ['collector/receive/', ...RECEIVE_IMPORTS],
    packages: ['@grpc/grpc-js'],
  })),
  ...['protobuf', 'otlp-messages'].map(name => ({
    at: `collector/receive/${name}.ts`,
    imports: ['collector/receive/', ...RECEIVE_IMPORTS],
    packages: ['protobufjs'],
  })),
  { at: 'collector/receive/csv.ts', imports: ['collector/receive/', ...RECEIVE_IMPORTS], packages: ['csv-parse'] },
  {
    at: 'collector/store/',
    imports: ['collector/call-record.ts', 'collector/log/', TLS, COLLECTOR_EVENTS],
    packages: ['@clickhouse/client'],
  },
  { at: 'collector/store/engine.ts', imports: ['collector/store/'], packages: ['chdb', 'ffi-rs'] },
  { at: 'collector/rarely.ts', imports: [], node: [] },
  { at: COLLECTOR_EVENTS, imports: ['collector/'], packages: ['@opentelemetry/api'] },
  { at: 'collector/all-tenants.ts', imports: ['collector/principal.ts'], node: [] },
  { at: 'collector/rejection-routes.ts', imports: ['collector/'], node: [] },
  { at: 'collector/collector.ts', imports: ['collector/'], packages: ['@clickhouse/client'] },

  { at: 'analyzer/usage/', imports: [TABLES, ANALYZER_EVENTS], packages: ['@clickhouse/client'] },
  { at: 'analyzer/usage/window-options.ts', imports: [], node: [] },
  {
    at: 'analyzer/usage/window.ts',
    imports: ['analyzer/usage/window-options.ts'],
    packages: ['temporal-polyfill'],
    node: [],
  },
  { at: 'analyzer/usage/units.ts', imports: [], node: [] },
  { at: 'analyzer/forecast/', imports: [], node: [], isPure: true },
  {
    at: 'analyzer/policy/',
    imports: ['analyzer/usage/window.ts', 'analyzer/usage/window-options.ts', 'analyzer/usage/units.ts'],
    types: ['analyzer/forecast/'],
    node: [],
  },
  {
    at: 'analyzer/control/',
    imports: ['analyzer/policy/', 'collector/log/', 'collector/principal.ts', ANALYZER_EVENTS],
  },
  {
    at: 'analyzer/tick/',
    imports: [
      'analyzer/usage/',
      'analyzer/forecast/',
      'analyzer/policy/',
      'analyzer/control/',
      TABLES,
      ANALYZER_EVENTS,
    ],
    packages: ['@clickhouse/client'],
  },
  {
    at: 'analyzer/alert/',
    imports: ['analyzer/policy/', 'analyzer/forecast/', 'analyzer/control/'],
    node: ['node:crypto'],
  },
  { at: 'analyzer/alert/events.ts', imports: ['analyzer/alert/'], packages: ['@opentelemetry/api'], node: [] },
  {
    at: 'analyzer/alert/email.ts',
    imports: ['analyzer/alert/'],
    packages: ['nodemailer'],
    node: ['node:events'],
  },
  {
    at: 'analyzer/limit/',
    imports: [
      'analyzer/usage/',
      'analyzer/policy/',
      'analyzer/control/',
      'collector/call-record.ts',
      'collector/identity.ts',
      'collector/principal.ts',
      'collector/log/',
      TLS,
      ANALYZER_EVENTS,
    ],
  },
  { at: 'analyzer/limit/bucket.ts', imports: ['analyzer/limit/'], node: [] },
  { at: 'analyzer/limit/grpc/protobuf.ts', imports: ['analyzer/limit/'], packages: ['protobufjs'] },
  {
    at: 'analyzer/limit/embedded.ts',
    imports: ['analyzer/limit/', 'collector/log/', ANALYZER_EVENTS],
    packages: ['lmdb'],
  },
  { at: 'analyzer/limit/redis.ts', imports: ['analyzer/limit/', TLS, ANALYZER_EVENTS], packages: ['ioredis'] },
  { at: 'analyzer/api/', imports: ['analyzer/', 'collector/principal.ts', TABLES], packages: ['@clickhouse/client'] },
  { at: 'analyzer/console/', imports: ['collector/principal.ts'] },
  {
    at: ANALYZER_EVENTS,
    imports: ['analyzer/', 'collector/rarely.ts'],
    types: ['collector/'],
    packages: ['@opentelemetry/api'],
  },
  {
    at: 'analyzer/analyzer.ts',
    imports: ['analyzer/', 'collector/principal.ts'],
    types: ['collector/'],
    packages: ['@clickhouse/client'],
  },
  { at: 'analyzer/limiter.ts', imports: ['analyzer/', 'collector/principal.ts'], types: ['collector/'] },

  { at: 'dashboards/', imports: [TABLES], packages: ['@grafana/grafana-foundation-sdk'] },
  {
    at: 'dashboards/console/',
    imports: [],
    types: ['analyzer/api/', 'analyzer/limit/'],
    packages: ['preact', 'htm', 'uplot'],
    node: [],
  },

  {
    at: 'deploy/',
    imports: ['collector/', 'analyzer/', 'package.json'],
    packages: [
      'fastify',
      '@fastify/swagger',
      '@fastify/type-provider-typebox',
      'yaml',
      'pino',
      'pino-pretty',
      '@opentelemetry/api',
      '@opentelemetry/sdk-node',
      '@opentelemetry/sdk-metrics',
      '@opentelemetry/exporter-prometheus',
      '@opentelemetry/exporter-metrics-otlp-proto',
      '@opentelemetry/exporter-metrics-otlp-http',
      '@opentelemetry/exporter-metrics-otlp-grpc',
      '@opentelemetry/resources',
    ],
  },
]

/** The top level and the folders are fixed; files may be added where a folder allows it. */
const TOP_LEVEL = ['collector', 'analyzer', 'dashboards', 'deploy', 'test']
const FOLDERS: Record<string, readonly string[]> = {
  collector: ['receive', 'normalize', 'log', 'store', 'store/schema'],
  analyzer: [...['usage', 'forecast', 'policy', 'control', 'tick', 'limit', 'limit/grpc', 'alert', 'api'], 'console'],
  dashboards: ['json', 'pictures', 'console', 'console/pictures'],
  deploy: [
    ...['commands', 'demo', 'gateways', 'grafana', 'kubernetes', 'kubernetes/embedded', 'kubernetes/distributed'],
    ...['grafana/provisioning/alerting', 'grafana/provisioning/dashboards', 'grafana/provisioning/datasources'],
  ],
}

interface Import {
  from: string
  isType: boolean
}

/** Every module that a source names: static, re-exported, or loaded late. */
function importsOf(source: string): Import[] {
  const statements = source.matchAll(/^(?:import|export)\s+(type\s+)?([\w$*\s,{}]*?)\s*\bfrom\s*'([^']+)'/gm)
  const found = Array.from(statements, ([, type, names = '', from = '']) => {
    const members = names
      .replaceAll(/[{}]/g, '')
      .split(',')
      .map(name => name.trim())
      .filter(Boolean)
    const isType = type !== undefined || (names.startsWith('{') && members.every(name => name.startsWith('type ')))
    return { from, isType }
  })
  for (const [, from = ''] of source.matchAll(/(?:^import\s*|\bimport\()'([^']+)'/gm))
    found.push({ from, isType: false })
  return found
}

const covers = (at: string, file: string) => (at.endsWith('/') ? file.startsWith(at) : file === at)

function partOf(file: string): Part | undefined {
  return PARTS.filter(part => covers(part.at, file)).toSorted((one, other) => other.at.length - one.at.length)[0]
}

const packageOf = (from: string) =>
  from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/')

/** What the source of `file` does that its part must not. */
function strayImports(file: string, source: string): string[] {
  const part = partOf(file)
  if (part === undefined) return [`${file} belongs to no part of the design`]
  // A file that stands out of its folder is still a part of it.
  const home = part.at.endsWith('/') ? part.at : `${dirname(part.at)}/`
  const isAllowed = ({ from, isType }: Import): boolean => {
    if (from.startsWith('.')) {
      const target = normalize(join(dirname(file), from))
      const places = [...(part.at.endsWith('/') ? [home] : []), ...part.imports, ...(isType ? (part.types ?? []) : [])]
      return places.some(place => covers(place, target))
    }
    if (from.startsWith('node:')) return part.node === undefined || part.node === true || part.node.includes(from)
    const name = packageOf(from)
    if (part.packages?.includes(name) || (isType && part.packageTypes?.includes(name))) return true
    return part.isPure !== true && (EVERYWHERE.includes(name) || (isType && TYPES_EVERYWHERE.includes(name)))
  }
  return importsOf(source)
    .filter(found => !isAllowed(found))
    .map(({ from, isType }) => `${file} imports ${isType ? 'types of ' : ''}${from}`)
}

function filesUnder(folder: string): string[] {
  const entries = readdirSync(join(REPOSITORY, folder), { withFileTypes: true, recursive: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(REPOSITORY.length))
}

const folders = readdirSync(REPOSITORY, { withFileTypes: true }).filter(entry => entry.isDirectory())
const product = Object.keys(FOLDERS)
  .filter(top => folders.some(entry => entry.name === top))
  .flatMap(filesUnder)
const sources = product.filter(file => file.endsWith('.ts'))
const read = (file: string) => readFileSync(join(REPOSITORY, file), 'utf8')

describe('the tree', () => {
  test('has no other folder at its top', () => {
    const known = [...TOP_LEVEL, 'node_modules', 'data', 'data-demo']
    expect(folders.map(entry => entry.name).filter(name => !name.startsWith('.') && !known.includes(name))).toEqual([])
  })

  test('has no unlisted folder', () => {
    const unlisted = product.filter(file => {
      const [top = '', ...rest] = file.split('/')
      return rest.length > 1 && !FOLDERS[top]?.includes(rest.slice(0, -1).join('/'))
    })
    expect(unlisted).toEqual([])
  })

  test('imports what the table of the design allows', () => {
    expect(sources.flatMap(file => strayImports(file, read(file)))).toEqual([])
  })

  test(`has no source file over ${LINES_MAX} lines`, () => {
    expect(sources.filter(file => read(file).split('\n').length - 1 > LINES_MAX)).toEqual([])
  })

  test('reads the environment in one file', () => {
    const readers = sources.filter(file => /\bprocess\s*\.\s*env\b|\benv\b[^'"]*from 'node:process'/.test(read(file)))
    expect(readers.filter(file => file !== 'deploy/config.ts' && !isOnlyInComments(read(file)))).toEqual([])
  })

  test('has tests only where the tree has sources', () => {
    const named = ['collector', 'analyzer', 'dashboards', 'deploy'].flatMap(folder =>
      filesUnder('test').filter(file => file.startsWith(`test/${folder}/`)),
    )
    const strays = named.filter(
      file =>
        file.endsWith('.test.ts') && !product.some(source => dirname(source) === dirname(file).slice('test/'.length)),
    )
    expect(strays).toEqual([])
  })
})

const isOnlyInComments = (source: string) =>
  !source.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '').includes('process.env')

describe('the check of imports', () => {
  test('finds an import across parts, a package out of place and a file of no part', () => {
    const stray = (file: string, source: string) => strayImports(file, source)
    expect(stray('collector/log/kafka.ts', "import { migrate } from '../store/migrate.ts'")).toHaveLength(1)
    expect(stray('collector/store/writer.ts', "import { load } from 'ffi-rs'")).toHaveLength(1)
    expect(
      stray('collector/store/writer.ts', "const quota = await import('../../analyzer/policy/quota.ts')"),
    ).toHaveLength(1)
    expect(stray('analyzer/forecast/mix.ts', "import Type from 'typebox'\nimport 'node:crypto'")).toHaveLength(2)
    expect(stray('analyzer/policy/quota.ts', "import { mix } from '../forecast/mix.ts'")).toHaveLength(1)
    expect(stray('analyzer/api/usage.ts', "import { readConfig } from '../../deploy/config.ts'")).toHaveLength(1)
    expect(stray('collector/receive/http.ts', "import Fastify, { type FastifyInstance } from 'fastify'")).toHaveLength(
      1,
    )
    expect(stray('collector/common.ts', '')).toHaveLength(1)
  })

  test('passes what is allowed', () => {
    const source = [
      "import { readFile } from 'node:fs/promises'",
      "import type { FastifyInstance } from 'fastify'",
      "import { type Logger } from 'pino'",
      "import Type, { type Static } from 'typebox'",
      "import type { CallLog } from '../log/call-log.ts'",
      "export { isCallRecord } from '../call-record.ts'",
    ].join('\n')
    expect(strayImports('collector/receive/http.ts', source)).toEqual([])
  })
})
