/** `deploy/kubernetes/` without a cluster: what the manifests say of us is what we are. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { rolesOf } from '../../deploy/addresses.ts'
import { loadConfig } from '../../deploy/config.ts'
import { STOP_DEADLINE_MS } from '../../deploy/lifecycle.ts'
import { type Image, imageEnvironment, REPOSITORY, readText } from './image.ts'

const SECRETS = {
  QUOTACAST_SECRETS__FINGERPRINT_KEYS: `[${'a'.repeat(64)}]`,
  QUOTACAST_SECRETS__DECISION_KEYS: `[${'b'.repeat(64)}]`,
}
const KINDS: readonly Image[] = ['embedded', 'distributed']

// Manifests are many shapes; the schemas of Kubernetes are no part of these tests.
// biome-ignore lint/suspicious/noExplicitAny: the assertions are the types here
type Manifest = any

const folder = (kind: Image) => join(REPOSITORY, 'deploy/kubernetes', kind)
const kustomization = (kind: Image): Manifest => parse(readFileSync(join(folder(kind), 'kustomization.yaml'), 'utf8'))
const manifests = (kind: Image): Manifest[] =>
  kustomization(kind).resources.flatMap((file: string) =>
    parseAllDocuments(readFileSync(join(folder(kind), file), 'utf8')).map(document => document.toJS()),
  )
const ofKind = (kind: Image, ...kinds: string[]) => manifests(kind).filter(manifest => kinds.includes(manifest.kind))
const workloads = KINDS.flatMap(kind =>
  ofKind(kind, 'Deployment', 'StatefulSet').map(workload => ({ kind, name: workload.metadata.name, workload })),
)
const containerOf = (workload: Manifest) => workload.spec.template.spec.containers[0]

/** The config that a pod starts with: of the image, of the pod, and of the secret where there is one. */
function configOf(kind: Image, workload: Manifest, more: Record<string, string> = SECRETS, ordinal = 1) {
  const container = containerOf(workload)
  const stated = container.env.flatMap(({ name, value }: { name: string; value?: string }) =>
    name.startsWith('QUOTACAST_') ? [[name, value?.replace('$(ORDINAL)', String(ordinal))]] : [],
  )
  const [file = ''] = kustomization(kind).configMapGenerator[0].files
  const [inPod = '', here = ''] = file.split('=')
  const environment = { ...imageEnvironment(kind), ...Object.fromEntries(stated) }
  expect(environment.QUOTACAST_CONFIG).toBe(`/etc/quotacast/${inPod}`)
  const secrets = container.envFrom === undefined ? {} : more
  return loadConfig({ environment: { ...environment, ...secrets, QUOTACAST_CONFIG: join(folder(kind), here) } })
}

describe.for(KINDS)('the kustomization %s', kind => {
  test('applies every manifest of its folder', () => {
    const { resources, configMapGenerator } = kustomization(kind)
    const [file = ''] = configMapGenerator[0].files
    const known = [...resources, file.split('=')[1], 'kustomization.yaml', 'secrets.env']
    expect(readdirSync(folder(kind)).filter(name => !known.includes(name))).toEqual([])
  })

  test('names the image by its version, and every container is it', () => {
    const { version } = JSON.parse(readText('package.json'))
    const [image] = kustomization(kind).images
    expect(image.newTag).toBe(kind === 'embedded' ? version : `${version}-distributed`)
    for (const workload of ofKind(kind, 'Deployment', 'StatefulSet'))
      expect(containerOf(workload).image).toBe(image.name)
  })

  test('has Services to ports that their pods have', () => {
    for (const service of ofKind(kind, 'Service')) {
      const pods = ofKind(kind, 'Deployment', 'StatefulSet').filter(
        ({ spec }) =>
          spec.template.metadata.labels['app.kubernetes.io/name'] === service.spec.selector['app.kubernetes.io/name'],
      )
      expect(pods, service.metadata.name).toHaveLength(1)
      const ports = containerOf(pods[0]).ports
      expect(
        service.spec.ports.map(({ targetPort, port }: Manifest) => ({ name: targetPort, containerPort: port })),
      ).toEqual(ports)
    }
  })

  test('lets others reach the ports that there are, and no others', () => {
    const [policy] = ofKind(kind, 'NetworkPolicy')
    const open = policy.spec.ingress[0].ports.map(({ port }: Manifest) => port)
    const ports = ofKind(kind, 'Deployment', 'StatefulSet').flatMap(workload => containerOf(workload).ports)
    expect(open).toEqual(
      ports.map(({ containerPort }: Manifest) => containerPort).toSorted((one: number, other: number) => one - other),
    )
    expect(kustomization(kind).labels[0]).toEqual({
      pairs: policy.spec.podSelector.matchLabels,
      includeTemplates: true,
    })
  })
})

describe.for(workloads)('$kind: $name', ({ kind, workload }) => {
  const { spec } = workload.spec.template
  const container = containerOf(workload)
  const [command, role] = container.args

  test('starts what its config has', async () => {
    const config = await configOf(kind, workload)
    if (kind === 'embedded') expect(container.args).toEqual(['up'])
    else expect([command, rolesOf(config).includes(role)]).toEqual(['serve', true])
    const kinds = [config.log.kind, config.store.kind, config.limits.kind]
    expect(kinds).toEqual(kind === 'embedded' ? ['embedded', 'embedded', 'embedded'] : ['kafka', 'clickhouse', 'redis'])
  })

  test('has the ports of its roles, open to others', async () => {
    const { collector, limiter, analyzer } = await configOf(kind, workload)
    const all: Record<string, { host: string; port: number }> = {
      collector,
      limiter,
      'limiter-grpc': limiter.grpc,
      analyzer,
      'collector-grpc': collector.grpc,
    }
    const own = Object.entries(all).filter(([name]) => role === undefined || name.split('-')[0] === role)
    expect(container.ports).toEqual(own.map(([name, { port }]) => ({ name, containerPort: port })))
    for (const [name, { host }] of own) expect(host, name).toBe('0.0.0.0')
  })

  test('is asked at a port of its own whether it lives, and a limiter whether it knows its counters', () => {
    const { startupProbe, readinessProbe, livenessProbe } = container
    for (const probe of [startupProbe, readinessProbe, livenessProbe]) {
      const asksReadiness = probe === readinessProbe && (role ?? 'limiter') === 'limiter'
      expect(probe.httpGet).toEqual({ path: asksReadiness ? '/readyz' : '/healthz', port: role ?? 'limiter' })
      expect(container.ports.map(({ name }: Manifest) => name)).toContain(probe.httpGet.port)
    }
  })

  test('gets longer to stop than it takes', () => {
    const [, waits = 0] = container.lifecycle?.preStop.exec.command ?? []
    const deadlineMs = command === 'up' ? 3 * STOP_DEADLINE_MS : STOP_DEADLINE_MS
    expect(spec.terminationGracePeriodSeconds * 1000).toBeGreaterThan(Number(waits) * 1000 + deadlineMs)
  })

  test('may do nothing that it need not, and write where it must', () => {
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect([spec.securityContext.runAsNonRoot, spec.securityContext.runAsUser]).toEqual([true, 1000])
    const writable = container.volumeMounts.filter(({ readOnly }: Manifest) => readOnly !== true)
    expect(writable.map(({ mountPath }: Manifest) => mountPath).toSorted()).toEqual(
      ['/opt/quotacast/node_modules/.cache', '/tmp', imageEnvironment(kind).QUOTACAST_DATA_DIR].toSorted(),
    )
    expect(container.resources.limits.cpu).toBeUndefined()
  })

  test('is spared the variables that Kubernetes makes of Services, with which it would not start', async () => {
    expect(spec.enableServiceLinks).toBe(false)
    const links = ofKind(kind, 'Service').map(
      ({ metadata }) => `${metadata.name.replaceAll('-', '_').toUpperCase()}_PORT`,
    )
    for (const link of links)
      await expect(loadConfig({ environment: { [link]: 'tcp://10.0.0.1:7411' } }), link).rejects.toThrow('unknown')
  })
})

describe('distributed', () => {
  const byName = (name: string) => workloads.find(found => found.name === name)?.workload

  test('does not start without its secrets, which no file here has', async () => {
    expect(kustomization('distributed').secretGenerator).toEqual([{ name: 'quotacast', envs: ['secrets.env'] }])
    expect(readText('.gitignore').split('\n')).toContain('deploy/kubernetes/distributed/secrets.env')
    for (const { kind, workload } of workloads.filter(found => found.kind === 'distributed')) {
      expect(containerOf(workload).envFrom).toEqual([{ secretRef: { name: 'quotacast' } }])
      await expect(configOf(kind, workload, {})).rejects.toThrow('secrets.fingerprintKeys')
    }
  })

  test('shares the subjects out to exactly the analyzers that there are', async () => {
    const analyzer = byName('quotacast-analyzer')
    const { replicas, ordinals } = analyzer.spec
    const ordinalsOf = Array.from({ length: replicas }, (_, index) => ordinals.start + index)
    const shards = await Promise.all(
      ordinalsOf.map(async ordinal => (await configOf('distributed', analyzer, SECRETS, ordinal)).analyzer.shard),
    )
    expect(shards).toEqual(ordinalsOf.map((_, index) => `${index + 1}/${replicas}`))
  })

  test('has the console ask the Services of the other two', async () => {
    const { collector, limiter } = await configOf('distributed', byName('quotacast-analyzer'))
    const services = ofKind('distributed', 'Service').map(({ metadata }) => metadata.name)
    expect(services).toEqual(expect.arrayContaining([collector.host, limiter.host]))
  })

  test('keeps a limiter when nodes are emptied', () => {
    const [budget] = ofKind('distributed', 'PodDisruptionBudget')
    const { spec } = byName('quotacast-limiter')
    expect(budget.spec.selector).toEqual(spec.selector)
    expect(spec.replicas).toBeGreaterThan(budget.spec.maxUnavailable)
  })
})

test('Prometheus looks for the ports of the roles, in pods of ours', () => {
  const [job] = parse(readText('deploy/grafana/prometheus.kubernetes.yaml')).scrape_configs
  const [, label, ports] = /^(\w+);\((.*)\)$/.exec(job.relabel_configs[0].regex) ?? []
  for (const kind of KINDS) {
    const { labels } = kustomization(kind)
    expect(labels).toEqual([expect.objectContaining({ pairs: { 'app.kubernetes.io/part-of': label } })])
  }
  const named = workloads.flatMap(({ workload }) => containerOf(workload).ports.map(({ name }: Manifest) => name))
  expect(named).toEqual(expect.arrayContaining(ports?.split('|') ?? ['some']))
})
