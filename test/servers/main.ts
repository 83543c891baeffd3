/**
 * `npm run servers -- [FILE]`: one Kafka and one Redis for trying Quotacast out on them, until Ctrl-C. Prints the config
 * that `npm start` runs on, and writes it to FILE, or to a temporary one. Nothing is left behind.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { type KafkaServers, kafkaChecks, startKafka } from './kafka.ts'
import { whatIsMissing } from './missing.ts'
import { type RedisServer, redisChecks, startRedis } from './redis.ts'

const SECRET_BYTES = 32

function configFor(kafka: KafkaServers, redis: RedisServer, dataDir: string): string {
  const secret = (): string[] => [randomBytes(SECRET_BYTES).toString('base64url')]
  return stringify({
    dataDir,
    log: { kind: 'kafka', brokers: kafka.addresses, partitions: 3, replicationFactor: 1, minInsyncReplicas: 1 },
    limits: { kind: 'redis', url: redis.url },
    // Several machines must have the same ones, so with Kafka or Redis they are not made up at the first start.
    secrets: { fingerprintKeys: secret(), decisionKeys: secret() },
  })
}

const asked = new Promise<void>(end => {
  // A terminal signals us, and npm does once more: the second one must not end us before everything is removed.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end())
})
const isTaken = process.argv[2] !== undefined && existsSync(process.argv[2])
const refusal = isTaken ? `${process.argv[2]} is there already.` : whatIsMissing([...kafkaChecks, ...redisChecks])
if (refusal === null) {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-servers-'))
  const file = resolve(process.argv[2] ?? join(dir, 'quotacast.yaml'))
  process.stdout.write('Starting Kafka and Redis …\n')
  const started = await Promise.allSettled([startKafka(), startRedis()])
  try {
    const [kafka, redis] = started
    if (kafka.status === 'rejected') throw kafka.reason
    if (redis.status === 'rejected') throw redis.reason
    const config = configFor(kafka.value, redis.value, join(dir, 'data'))
    writeFileSync(file, config, { mode: 0o600 })
    process.stdout.write(
      `\n# ${file}\n${config}\nIn another terminal: npm start -- --config ${file}\nCtrl-C stops the servers and removes what they hold.\n`,
    )
    await asked
  } finally {
    await Promise.all(started.map(server => (server.status === 'fulfilled' ? server.value.stop() : null)))
    rmSync(file, { force: true })
    rmSync(dir, { recursive: true, force: true })
  }
} else {
  process.stderr.write(`${refusal}\n`)
  process.exitCode = 1
}
