/**
 * A real Apache Kafka for tests and for trying out: one or three KRaft nodes on free loopback ports. The jars come from
 * Maven once, into a cache outside of the tree; everything else lives in a temporary folder that `stop` removes.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { freePorts } from '../free-ports.ts'
import { makeSecureListener, type SecureListener, scramUsers } from './kafka-secure.ts'
import { ensureJars, mavenChecks } from './maven.ts'
import { whatIsMissing } from './missing.ts'
import { type ServerProcess, startProcess } from './process.ts'

const run = promisify(execFile)

const KAFKA_VERSION = '4.3.1'
const CLUSTER_ID = '5L6g3nShT-eMCtK--X86sw'
const START_DEADLINE_MS = 60_000
const POLL_MS = 200

const JARS = {
  name: `kafka-${KAFKA_VERSION}`,
  jars: [`org.apache.kafka:kafka_2.13:${KAFKA_VERSION}`, 'org.slf4j:slf4j-simple:1.7.36'],
}

export const kafkaChecks = mavenChecks

export interface KafkaBroker {
  port: number
  pid(): number
  /** Folder of its partitions, `<topic>-<partition>` each. */
  logDir: string
  /** SIGTERM; resolves when it is gone, with its data kept. */
  stop(): Promise<void>
  /** kill -9. */
  kill(): Promise<void>
  signal(name: NodeJS.Signals): void
  /** Starts it again on the same port and data; resolves when it answers. */
  start(): Promise<void>
}

export interface KafkaServers {
  /** Where `secure` was asked for. */
  secure: SecureListener | null
  /** `host:port` of every broker. */
  addresses: string[]
  brokers: KafkaBroker[]
  stop(): Promise<void>
}

interface Node {
  id: number
  port: number
  controllerPort: number
  dir: string
}

/** Writes `server.properties`: small, quick to start again, every internal topic on as many brokers as there are. */
function writeProperties(node: Node, nodes: readonly Node[], secure: { port: number; lines: string[] } | null): string {
  const file = join(node.dir, 'server.properties')
  const replication = nodes.length
  const insync = Math.min(2, replication)
  const listeners = [`PLAINTEXT://127.0.0.1:${node.port}`, ...(secure ? [`SECURE://127.0.0.1:${secure.port}`] : [])]
  const lines = [
    'process.roles=broker,controller',
    `node.id=${node.id}`,
    `controller.quorum.voters=${nodes.map(({ id, controllerPort }) => `${id}@127.0.0.1:${controllerPort}`).join(',')}`,
    `listeners=${[...listeners, `CONTROLLER://127.0.0.1:${node.controllerPort}`].join(',')}`,
    `advertised.listeners=${listeners.join(',')}`,
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL',
    'controller.listener.names=CONTROLLER',
    `log.dirs=${join(node.dir, 'logs')}`,
    'auto.create.topics.enable=false',
    'group.initial.rebalance.delay.ms=0',
    'group.min.session.timeout.ms=500',
    `offsets.topic.replication.factor=${replication}`,
    'offsets.topic.num.partitions=4',
    `transaction.state.log.replication.factor=${replication}`,
    `transaction.state.log.min.isr=${insync}`,
    'transaction.state.log.num.partitions=4',
    `share.coordinator.state.topic.replication.factor=${replication}`,
    `share.coordinator.state.topic.min.isr=${insync}`,
    `min.insync.replicas=${insync}`,
    'broker.session.timeout.ms=2000',
    'broker.heartbeat.interval.ms=500',
    ...(secure?.lines ?? []),
  ]
  writeFileSync(file, lines.join('\n'))
  return file
}

const javaArguments = (lib: string, heap: string) => [
  heap,
  '-XX:TieredStopAtLevel=1',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
  '-cp',
  `${lib}/*`,
]

async function untilAnswering(addresses: string[], ended: () => string | null, logFile: string): Promise<void> {
  const endMs = Date.now() + START_DEADLINE_MS
  const admin = new Kafka({
    brokers: addresses,
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
    connectionTimeout: 1000,
  }).admin()
  for (;;) {
    const why = ended()
    if (why !== null) throw new Error(`Kafka ended (${why}):\n${readFileSync(logFile, 'utf8').slice(-4000)}`)
    try {
      await admin.connect()
      const cluster = await admin.describeCluster()
      if (cluster.brokers.length > 0 && cluster.controller !== null) return
    } catch (error) {
      if (Date.now() > endMs) throw new Error(`Kafka does not answer after ${START_DEADLINE_MS} ms`, { cause: error })
    } finally {
      await admin.disconnect()
    }
    await sleep(POLL_MS)
  }
}

/** Throws when Java or Maven is not there, naming the command that installs it. */
export async function startKafka(
  options: { brokers: 1 | 3; isSecure?: boolean } = { brokers: 1 },
): Promise<KafkaServers> {
  const missing = whatIsMissing(kafkaChecks)
  if (missing !== null) throw new Error(missing)
  const lib = await ensureJars(JARS)
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-kafka-'))
  const ports = await freePorts(options.brokers * 2 + 1)
  const take = (): number => ports.pop() ?? 0
  const nodes = Array.from({ length: options.brokers }, (_, index): Node => {
    const node = { id: index + 1, port: take(), controllerPort: take(), dir: join(dir, String(index + 1)) }
    mkdirSync(node.dir)
    return node
  })
  const securePort = take()
  const secure = options.isSecure ? await makeSecureListener(dir, securePort) : null
  const propertiesOf = new Map(
    nodes.map(node => {
      const isSecure = secure !== null && node === nodes[0]
      return [node, writeProperties(node, nodes, isSecure ? { port: securePort, lines: secure.properties } : null)]
    }),
  )
  const format = ['kafka.tools.StorageTool', 'format', '--ignore-formatted', '-t', CLUSTER_ID, ...scramUsers]
  const formatted = nodes.map(node =>
    run('java', [...javaArguments(lib, '-Xmx128m'), ...format, '-c', propertiesOf.get(node) ?? '']),
  )
  await Promise.all(formatted)
  const brokers = nodes.map(node =>
    startBroker(node, [...javaArguments(lib, '-Xmx384m'), 'kafka.Kafka', propertiesOf.get(node) ?? '']),
  )
  const stop = async (): Promise<void> => {
    await Promise.all(brokers.map(broker => broker.stop()))
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await Promise.all(brokers.map(broker => broker.answering()))
  } catch (error) {
    await stop()
    throw error
  }
  const addresses = nodes.map(node => `127.0.0.1:${node.port}`)
  return { addresses, secure: secure?.listener ?? null, brokers, stop }
}

function startBroker(node: Node, command: readonly string[]): KafkaBroker & { answering(): Promise<void> } {
  const logFile = join(node.dir, 'output.log')
  const launch = (): ServerProcess => startProcess('java', command, { cwd: node.dir, logFile })
  let server = launch()
  const answering = () => untilAnswering([`127.0.0.1:${node.port}`], () => server.ended(), logFile)
  return {
    port: node.port,
    pid: () => server.pid,
    logDir: join(node.dir, 'logs'),
    answering,
    stop: () => server.stop(),
    kill: () => server.kill(),
    signal: name => server.signal(name),
    async start() {
      server = launch()
      await answering()
    },
  }
}
