/** `deploy/compose.yaml` without an engine: what it says of us is what we are. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { rolesOf } from '../../deploy/addresses.ts'
import { loadConfig } from '../../deploy/config.ts'
import { STOP_DEADLINE_MS } from '../../deploy/lifecycle.ts'
import { type Image, imageEnvironment, REPOSITORY, readText, readYaml } from './image.ts'

interface Service {
  image: string
  profiles: string[]
  command?: string[]
  entrypoint?: string[]
  environment?: Record<string, string>
  volumes?: string[]
  ports?: string[]
  healthcheck?: { test: string[] }
  stop_grace_period?: string
}

const SECRETS = {
  FINGERPRINT_KEY: 'a'.repeat(64),
  DECISION_KEY: 'b'.repeat(64),
  CLICKHOUSE_PASSWORD: 'c'.repeat(64),
  REDIS_PASSWORD: 'd'.repeat(64),
}
const services: Record<string, Service> = readYaml('deploy/compose.yaml').services
const names = Object.keys(services)
const service = (name: string): Service => services[name] as Service
const ours = names.filter(name => service(name).image.startsWith('quotacast:') && name !== 'access')

const profileOf = (name: string): Image => (service(name).profiles.includes('embedded') ? 'embedded' : 'distributed')

/** As Compose fills in `${NAME:-default}` and `$$`. */
const filledIn = (text: string, variables: Record<string, string>) =>
  text
    .replaceAll(/(?<!\$)\$\{(\w+):-([^}]*)\}/g, (_, name, otherwise) => variables[name] || otherwise)
    .replaceAll('$$', '$')

/** The config that a service of ours starts with. */
function configOf(name: string, variables: Record<string, string> = SECRETS) {
  const stated = Object.entries(service(name).environment ?? {})
  const environment = Object.fromEntries(stated.map(([key, text]) => [key, filledIn(text, variables)]))
  const mounts = (service(name).volumes ?? []).map(volume => filledIn(volume, variables).split(':'))
  const [source = ''] = mounts.find(([, target]) => target === environment.QUOTACAST_CONFIG) ?? []
  const file = join(REPOSITORY, 'deploy', source)
  return loadConfig({ environment: { ...imageEnvironment(profileOf(name)), ...environment, QUOTACAST_CONFIG: file } })
}

/** The ports on which a service of ours listens for others. */
async function portsOf(name: string): Promise<number[]> {
  const { collector, limiter, analyzer } = await configOf(name)
  const role = service(name).command?.[1]
  return [
    ...(role === undefined || role === 'collector' ? [collector, collector.grpc] : []),
    ...(role === undefined || role === 'limiter' ? [limiter, limiter.grpc] : []),
    ...(role === undefined || role === 'analyzer' ? [analyzer] : []),
  ]
    .map(({ port }) => port)
    .toSorted((one, other) => one - other)
}

test('every image has a version', () => {
  expect(names.filter(name => !/:v?\d+\.\d+\.\d+/.test(service(name).image))).toEqual([])
  const { version } = JSON.parse(readText('package.json'))
  for (const name of ours)
    expect(service(name).image).toBe(`quotacast:${version}${profileOf(name) === 'embedded' ? '' : '-distributed'}`)
})

test('ClickHouse, Kafka and Redis are as new as we ask for, and Redis forgets nothing', () => {
  const readme = readText('README.md')
  const oldest = (what: string) => Number(new RegExp(`${what}[^(]*\\((\\d+(?:\\.\\d+)?) or`).exec(readme)?.[1])
  const version = (name: string) => Number(/:(\d+\.\d+)/.exec(service(name).image)?.[1])
  expect(version('kafka')).toBeGreaterThanOrEqual(oldest('Apache Kafka'))
  expect(version('clickhouse')).toBeGreaterThanOrEqual(oldest('the store ClickHouse'))
  expect(version('redis')).toBeGreaterThanOrEqual(oldest('limits Redis'))
  expect(service('redis').entrypoint?.join(' ')).toContain(
    '--appendfsync always --maxmemory 1gb --maxmemory-policy noeviction',
  )
})

test('what is mounted from here is here', () => {
  const mounts = names
    .flatMap(name => service(name).volumes ?? [])
    .map(volume => filledIn(volume, {}).split(':')[0] ?? '')
  const files = mounts.filter(source => source.startsWith('.'))
  expect(files).toContain('./grafana/provisioning')
  expect(files.filter(file => !existsSync(join(REPOSITORY, 'deploy', file)))).toEqual([])
})

describe.for(ours)('%s', name => {
  test('starts with a config that is one, of the kinds of its profile', async () => {
    const { log, store, limits } = await configOf(name)
    expect([log.kind, store.kind, limits.kind]).toEqual(
      profileOf(name) === 'embedded' ? ['embedded', 'embedded', 'embedded'] : ['kafka', 'clickhouse', 'redis'],
    )
  })

  test('publishes the ports that it has, to this machine only', async () => {
    const published = (service(name).ports ?? []).map(port => filledIn(port, {}))
    const ports = await portsOf(name)
    expect(published.toSorted()).toEqual(ports.map(port => `127.0.0.1:${port}:${port}`))
    const config = await configOf(name)
    const own = service(name).command?.[1] as 'collector' | undefined
    for (const role of own === undefined ? (['collector', 'limiter', 'analyzer'] as const) : [own])
      expect(config[role].host).toBe('0.0.0.0')
  })

  test('gets longer to stop than it takes', () => {
    const graceMs = 1000 * Number(/^(\d+)s$/.exec(service(name).stop_grace_period ?? '')?.[1])
    const deadlineMs = service(name).command === undefined ? 3 * STOP_DEADLINE_MS : STOP_DEADLINE_MS
    expect(graceMs).toBeGreaterThan(deadlineMs)
  })

  test('reaches whom it names: services of its profile', async () => {
    const { log, store, limits, collector, limiter, analyzer } = await configOf(name)
    const named = [
      ...(log.kind === 'kafka' ? log.brokers.map(broker => `kafka://${broker}`) : []),
      ...(store.kind === 'clickhouse' ? [store.url] : []),
      ...(limits.kind === 'redis' ? [limits.url] : []),
    ].map(url => new URL(url).hostname)
    const roles = [collector, limiter, analyzer].map(({ host }) => host).filter(host => host !== '0.0.0.0')
    for (const host of [...named, ...roles]) expect(services[host]?.profiles, host).toEqual(service(name).profiles)
  })
})

describe('the distributed profile', () => {
  const distributed = ours.filter(name => service(name).profiles.includes('distributed'))

  test('has every role once, and asks each whether it lives', async () => {
    expect(distributed.map(name => service(name).command)).toEqual(
      rolesOf(await configOf('collector')).map(role => ['serve', role]),
    )
    for (const name of distributed) {
      const port = (await configOf(name))[name as 'collector'].port
      const [, ...command] = service(name).healthcheck?.test ?? []
      expect(command).toEqual(['node', '/opt/quotacast/deploy/health.ts', String(port)])
    }
  })

  test.for(distributed)('%s does not start without secrets', async name => {
    await expect(configOf(name, {})).rejects.toThrow('secrets')
  })

  test.for(['clickhouse', 'redis'])('nor does %s, and it says why', async name => {
    const [shell = '', ...args] = (service(name).entrypoint ?? []).map(text => filledIn(text, {}))
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>(resolve =>
      execFile(shell, args, { env: { PATH: process.env.PATH } }, (error, _stdout, said) =>
        resolve({ code: error?.code, stderr: said }),
      ),
    )
    expect(code).not.toBe(0)
    expect(stderr).toContain('is not set, deploy/compose.yaml says how')
  })
})

test('Grafana and Prometheus look where the embedded roles are', async () => {
  const { store, collector, limiter, analyzer } = await configOf('quotacast')
  if (store.kind !== 'embedded') throw new Error('the profile is embedded')
  expect(store.host).toBe('0.0.0.0')
  const [job] = readYaml('deploy/grafana/prometheus.compose.yaml').scrape_configs
  expect(job.static_configs[0].targets).toEqual(
    [collector.port, limiter.port, analyzer.port, store.healthPort].map(port => `quotacast:${port}`),
  )
  const { environment = {} } = service('grafana')
  const provisioned = readText('deploy/grafana/provisioning/datasources/quotacast.yaml')
  const given = [
    ...Object.keys(environment),
    ...(/export (\w+)=/.exec(service('grafana').entrypoint?.join(' ') ?? '') ?? []),
  ]
  for (const [, variable = ''] of provisioned.matchAll(/\$(\w+)/g)) expect(given).toContain(variable)
  expect(environment.QUOTACAST_STORE_HOST).toBe('quotacast')
  expect(provisioned).toContain(`port: ${store.port}`)
})
