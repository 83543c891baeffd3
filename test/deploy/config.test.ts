import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { rolesOf } from '../../deploy/addresses.ts'
import { loadConfig, printConfig, telemetryEnvironment } from '../../deploy/config.ts'
import { ConfigError } from '../../deploy/config-problems.ts'

const REPOSITORY = new URL('../..', import.meta.url).pathname
const EXAMPLE = join(REPOSITORY, 'deploy/config.example.yaml')
const DISTRIBUTED = join(REPOSITORY, 'deploy/config.distributed.example.yaml')
const NO_CONFIG = join(REPOSITORY, '.npmrc')
const FIXTURES = join(REPOSITORY, 'test/fixtures/config')

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const yaml = (text: string) => {
  const file = join(dir, 'quotacast.yaml')
  writeFileSync(file, text)
  return file
}
const load = (sources: Parameters<typeof loadConfig>[0] = {}) => loadConfig({ environment: {}, ...sources })
const problemsOf = async (sources: Parameters<typeof loadConfig>[0]): Promise<readonly string[]> => {
  const error = await load(sources).catch((thrown: unknown) => thrown)
  if (error instanceof ConfigError) return error.problems
  throw error
}

describe('the config', () => {
  test('without any source is all embedded, below ./data, on loopback', async () => {
    const config = await load()
    expect(config.dataDir).toBe(join(process.cwd(), 'data'))
    expect([config.log.kind, config.store.kind, config.limits.kind]).toEqual(['embedded', 'embedded', 'embedded'])
    const { store, collector, limiter, analyzer } = config
    if (store.kind !== 'embedded') throw new Error('the default is embedded')
    expect([store.port, store.healthPort, collector.port, limiter.port, analyzer.port]).toEqual([
      7410, 7415, 7411, 7412, 7414,
    ])
    expect([store, collector, limiter, analyzer].every(({ host }) => host === '127.0.0.1')).toBe(true)
  })

  test('takes the later source: defaults, file, environment, flags', async () => {
    const file = yaml('limiter: { port: 8001 }\ncollector: { port: 8002 }\nanalyzer: { port: 8003 }\n')
    const config = await load({
      file,
      environment: { QUOTACAST_COLLECTOR__PORT: '9002', QUOTACAST_ANALYZER__PORT: '9003' },
      overrides: ['analyzer.port=9999'],
      dataDir: join(dir, 'elsewhere'),
    })
    expect([config.limiter.port, config.collector.port, config.analyzer.port]).toEqual([8001, 9002, 9999])
    expect(config.store).toMatchObject({ port: 7410 })
    expect(config.dataDir).toBe(join(dir, 'elsewhere'))
  })

  test('comes from the file that the environment names', async () => {
    const config = await load({ environment: { QUOTACAST_CONFIG: yaml('currency: EUR') } })
    expect(config.currency).toBe('EUR')
  })

  test('reads units, in every source', async () => {
    const file = yaml('log: { retentionSeconds: 2h, sizeBytesMax: 1GiB }')
    expect((await load({ file })).log).toEqual({ kind: 'embedded', retentionSeconds: 7200, sizeBytesMax: 2 ** 30 })
    const environment = { QUOTACAST_LOG__RETENTION_SECONDS: '3d' }
    expect((await load({ file, environment })).log.retentionSeconds).toBe(259_200)
    expect((await load({ overrides: ['log.sizeBytesMax=64MiB'] })).log).toMatchObject({ sizeBytesMax: 64 * 2 ** 20 })
  })

  test('takes an address of a channel only where a message can be sent', async () => {
    const problems = async (url: string) => {
      const both = ['webhook', 'slack'].map(kind => `${kind}: { kind: ${kind}, url: '${url}' }`)
      const file = yaml(`alerts: { channels: { ${both.join(', ')} } }`)
      return load({ file }).then(
        () => [],
        (error: ConfigError) => error.problems.map(problem => problem.split(':')[0]),
      )
    }
    for (const url of ['https://bot:s3cret@example.com/hook', 'https://example.com@evil.example', 'https:///hook'])
      expect(await problems(url), url).toEqual(['alerts.channels.webhook.url', 'alerts.channels.slack.url'])
    for (const url of ['https://example.com:8443/hook?token=a@b', 'http://[::1]:9000', 'https://example.com/@ops'])
      expect(await problems(url), url).toEqual([])
  })

  test('names channels of alerts that there are not, and shows no address of one', async () => {
    const url = 'https://hooks.example.com/s3cret'
    const channels = `alerts: { channels: { ops: { kind: slack, url: '${url}' } } }`
    const quota = (names: string) =>
      `quotas: [{ name: a, unit: requests, limit: 1, window: { kind: fixed, everySeconds: 60 }, alerts: { channels: [${names}] } }]`
    expect(await printConfig(await load({ file: yaml(`${channels}\n${quota('ops')}`) }), 'yaml')).not.toContain(
      's3cret',
    )
    expect(await problemsOf({ file: yaml(`${channels}\n${quota('ops, nobody')}`) })).toEqual([
      'quotas[0].alerts.channels: there is no channel nobody in alerts.channels',
    ])
    const wrong = "alerts: { channels: { ops: { kind: webhook, url: 'ftp://s3cret', secret: short } } }"
    const problems = await problemsOf({ file: yaml(wrong) })
    expect(problems.map(problem => problem.split(':')[0])).toEqual([
      'alerts.channels.ops.url',
      'alerts.channels.ops.secret',
    ])
    expect(problems.join()).not.toContain('s3cret')
  })

  test('cannot be changed', async () => {
    const config = await load({ file: EXAMPLE })
    expect(() => Object.assign(config.limiter, { port: 1 })).toThrow(TypeError)
    expect(() => Object.assign(config.quotas[0] ?? {}, { limit: 1 })).toThrow(TypeError)
  })

  test('names what is wrong in one case of a choice, and nothing else', async () => {
    const log = { brokers: ['no-port'], partition: 3 }
    expect(
      await problemsOf({ overrides: ['log.kind=kafka', `log=${JSON.stringify({ kind: 'kafka', ...log })}`] }),
    ).toEqual([
      expect.stringMatching(/^log\.brokers\[0\]: must match pattern/),
      expect.stringMatching(/^log\.partition: .*did you mean partitions/),
    ])
  })

  test('takes brokers by name and by address', async () => {
    const log = { kind: 'kafka', brokers: ['kafka-1:9092', '10.0.0.1:9092', '[::1]:9092', '[fe80::1%eth0]:9092'] }
    const overrides = ['log.kind=kafka', `log=${JSON.stringify(log)}`]
    const problems = await problemsOf({ overrides })
    expect(problems.filter(problem => problem.includes('brokers'))).toEqual([])
    const wrong = { ...log, brokers: ['::1:9092', '[::1]', '[::1:9092', 'a/b:1'] }
    const found = await problemsOf({ overrides: ['log.kind=kafka', `log=${JSON.stringify(wrong)}`] })
    expect(found.filter(problem => problem.startsWith('log.brokers['))).toHaveLength(4)
  })

  test('names all problems of all sources at once', async () => {
    const problems = await problemsOf({
      file: yaml(
        'limiter: { prot: 1 }\nquotas: [{ name: a, unit: total_tokens, limit: -1, window: { kind: fixed, everySeconds: 60 } }]',
      ),
      environment: { QUOTACAST_COLECTOR__PORT: '1' },
      overrides: ['nonsense', 'analyzer.port=none', 'labels=[a'],
    })
    const places = problems.map(problem => problem.split(':')[0])
    const wrong = ['--set nonsense', '--set labels', 'colector', 'analyzer.port', 'limiter.prot', 'quotas[0].limit']
    expect(places.toSorted()).toEqual(wrong.toSorted())
  })

  test('names the variable of the environment, or the flag, that said what is wrong, if it was the last one', async () => {
    const environment = {
      ...{
        QUOTACAST_SERVICE_HOST: '10.0.0.1',
        QUOTACAST_COLECTOR__PORT: '1',
        QUOTACAST_LIMITER__PORT: 'tcp://10.0.0.1',
      },
      ...{ QUOTACAST_ANALYZER__PORT: 'none', QUOTACAST_COLLECTOR__PORT: 'none' },
    }
    const file = yaml('limiter: { prot: 1 }')
    const problems = await problemsOf({ file, environment, overrides: ['analyzer.port=never', 'collector.port=7'] })
    const origins = problems.map(problem => /^([^:]+):.*?(?: \(from (.*)\))?$/.exec(problem)?.slice(1))
    expect(new Map(origins as [string, string | undefined][])).toEqual(
      new Map([
        ['serviceHost', 'QUOTACAST_SERVICE_HOST'],
        ['colector', 'QUOTACAST_COLECTOR__PORT'],
        ['limiter.port', 'QUOTACAST_LIMITER__PORT'],
        ['limiter.prot', undefined],
        ['analyzer.port', '--set analyzer.port'],
      ]),
    )
  })

  test.each([
    ['a file that is not there', { file: '/nowhere/quotacast.yaml' }, /cannot be read/],
    ['a file without sections', { file: NO_CONFIG }, /must have sections at its top/],
    ['a folder', { file: FIXTURES }, /cannot be read .*directory/],
    ['a file without end', { file: '/dev/zero' }, /is larger than 16 MiB/],
    ['a key that every object has', { overrides: ['__proto__.port=1'] }, /^__proto__: is unknown/],
    ['a value within itself', { overrides: ['quotas=&a [*a]'] }, /^--set quotas: is not a YAML value/],
    [
      'a label that nobody could ask for',
      { overrides: ['labels=[team, tenant]'] },
      /^labels\[1\]: tenant is a dimension/,
    ],
    ['a port that is taken twice', { overrides: ['limiter.port=7411'] }, /two have the port 7411/],
    [
      'more limiters on one port than can count together',
      { overrides: ['limiter.processes=2'] },
      /limiter.processes: .*limits.kind: redis/,
    ],
    [
      'an entry of descriptors that means nothing',
      { overrides: ['limiter.grpc.descriptors={ a: { dimension: tean } }'] },
      /limiter.grpc.descriptors.a.dimension: .*tean/,
    ],
  ])('refuses %s', async (_name, sources, problem) => {
    expect((await problemsOf(sources)).join()).toMatch(problem)
  })

  test('refuses text of another encoding, values within themselves and mere lists, and names the file', async () => {
    const file = yaml('')
    for (const [text, problem] of [
      [Buffer.from('labels: [ä]', 'latin1'), 'is not text in UTF-8'],
      [Buffer.from('labels: [a]', 'utf16le'), 'must have sections at its top'],
      ['quotas: &a [*a]', 'an alias within what it stands for'],
      ['- labels', 'must have sections at its top'],
      ['labels', 'must have sections at its top'],
    ] as const) {
      writeFileSync(file, text)
      expect(await problemsOf({ file })).toEqual([`${file}: ${problem}`])
    }
  })

  test('names every one of very many problems, and shows the first', async () => {
    const file = yaml(Array.from({ length: 150_000 }, (_, index) => `k${index}: 1\n`).join(''))
    const error = await load({ file }).catch((thrown: unknown) => thrown)
    if (!(error instanceof ConfigError)) throw error
    expect(error.problems).toHaveLength(150_000)
    expect(error.message).toMatch(/… and 149900 more$/)
  })

  test('refuses a key that is written twice, and names the file', async () => {
    const file = yaml('limiter: { port: 1 }\nlimiter: { port: 2 }')
    expect((await problemsOf({ file })).join()).toContain(file)
  })
})

describe('the example', () => {
  test('is a working config, and shows every section', async () => {
    const config = await load({ file: EXAMPLE })
    const shown = Object.keys(parse(readFileSync(EXAMPLE, 'utf8')))
    expect(shown.toSorted()).toEqual(
      Object.keys(config)
        .filter(section => section !== 'secrets')
        .toSorted(),
    )
    expect(config.quotas.map(quota => quota.name)).toEqual([
      'acme-tokens-per-month',
      'team-requests-per-minute',
      'provider-tokens-per-minute',
    ])
  })

  test('shows defaults where it says so', async () => {
    const [example, defaults] = [await load({ file: EXAMPLE }), await load()]
    const { log, store, limits, collector, limiter, analyzer, currency, logging } = defaults
    expect(example).toMatchObject({ log, store, limits, collector, limiter, analyzer, currency, logging })
  })
})

describe('the distributed example', () => {
  const keys = (letter: string) => `[${letter.repeat(64)}]`
  const environment = {
    QUOTACAST_SECRETS__FINGERPRINT_KEYS: keys('a'),
    QUOTACAST_SECRETS__DECISION_KEYS: keys('b'),
    QUOTACAST_LOG__SASL__PASSWORD: 'broker-password',
    QUOTACAST_STORE__PASSWORD: 'store-password',
  }

  test('is a working config, with the secrets of the environment', async () => {
    const config = await load({ file: DISTRIBUTED, environment })
    expect([config.log.kind, config.store.kind, config.limits.kind]).toEqual(['kafka', 'clickhouse', 'redis'])
    expect(config.secrets.fingerprintKeys).toEqual(['a'.repeat(64)])
    expect(config.log).toMatchObject({ sasl: { password: 'broker-password' }, appendTimeoutMs: 10_000 })
    expect(rolesOf(config)).toEqual(['collector', 'limiter', 'analyzer'])
    const printed = await printConfig(config, 'yaml')
    for (const secret of ['broker-password', 'store-password', 'aaaa']) expect(printed).not.toContain(secret)
  })

  test('is refused without secrets, which every machine must share', async () => {
    const problems = await problemsOf({ file: DISTRIBUTED })
    expect(problems.map(problem => problem.split(':')[0])).toEqual(['secrets.fingerprintKeys', 'secrets.decisionKeys'])
    expect(problems[0]).toContain('required with log.kind: kafka')
  })

  test.each([
    ['store.tls={caFile: a, certFile: b}', /certFile and keyFile belong together/],
    ['store.tls={caFile: a, certFile: b, keyFile: c}', /password and tls.certFile exclude each other/],
    ['log.tls={keyFile: a}', /^log.tls: certFile and keyFile belong together$/],
    ['log.tls={ca: a}', /^log.tls.ca: is unknown; did you mean caFile\?$/],
    ['log.tls={cert: a}', /^log.tls.cert: is unknown; did you mean certFile\?$/],
    ['log.tls={key: a}', /^log.tls.key: is unknown; did you mean keyFile\?$/],
    ['limits={kind: redis, url: "redis://a:1", tls: {}}', /^limits.tls: needs a url that begins with rediss:/],
    ['store={kind: clickhouse, url: "http://a:1", tls: {}}', /^store.tls: needs a url that begins with https:/],
    [
      'sources.edge={dialect: nginx, receive: {kind: kafka, brokers: ["a:1"], topics: [a], tls: {certFile: a}}}',
      /^sources.edge.receive.tls: certFile and keyFile belong together$/,
    ],
    ['limits.tls.caFile=-----BEGIN X', /^limits.tls.caFile: must be the path of a file, [^-]*$/],
  ])('is refused with %s', async (override, problem) => {
    const problems = await problemsOf({ file: DISTRIBUTED, environment, overrides: [override] })
    expect(problems.join()).toMatch(problem)
  })
})

describe('fixtures', () => {
  test.each([
    ['working-azure.yaml', []],
    ['busted-quotas.yaml', ['quotas[0].match.colour', 'quotas[1].window.timezone', 'quotas']],
    ['busted-choices.yaml', ['log', 'store.memory', 'limits.flushMs', 'labels']],
  ])('%s', async (name, places) => {
    const file = join(FIXTURES, name)
    const problems = await load({ file }).then(
      () => [],
      () => problemsOf({ file }),
    )
    expect(problems.map(problem => problem.split(':')[0])).toEqual(places)
  })
})

test('a dimension that begins with a digit is no place in a list', async () => {
  const window = '{ kind: fixed, everySeconds: 60 }'
  const file = yaml(`quotas: [{ name: a, unit: requests, limit: 1, window: ${window}, match: { 2fa: x }, per: [b] }]`)
  const problems = await problemsOf({ file })
  expect(problems.map(problem => problem.split(':')[0])).toEqual(['quotas[0].match.2fa', 'quotas[0].per[0]'])
})

test('what is printed can be read again, but holds no secret', async () => {
  const secret = 'correct-horse-battery-staple-0123456789'
  const environment = { QUOTACAST_SECRETS__FINGERPRINT_KEYS: `[${secret}]` }
  const config = await load({ file: EXAMPLE, environment })
  expect(config.secrets.fingerprintKeys).toEqual([secret])
  for (const as of ['yaml', 'json'] as const) {
    const text = await printConfig(config, as)
    expect(text).not.toContain(secret)
    const { secrets: _masked, alerts: _maskedToo, ...printed } = parse(text)
    const { secrets: _secrets, alerts: _alerts, ...whole } = config
    expect(printed).toEqual(whole)
  }
})

describe('telemetryEnvironment', () => {
  test.each([
    [{}, false, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }, true, true],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318' }, true, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_METRICS_EXPORTER: 'none' }, true, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_SDK_DISABLED: 'true' }, false, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, false, false],
    [{ OTEL_TRACES_EXPORTER: 'console', OTEL_METRICS_EXPORTER: 'prometheus' }, true, false],
    [{ OTEL_METRICS_EXPORTER: 'prometheus,otlp' }, false, true],
  ])('%j', (environment, sendsTraces, sendsMetrics) => {
    expect(telemetryEnvironment(environment)).toMatchObject({ sendsTraces, sendsMetrics })
  })
})
