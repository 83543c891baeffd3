/** What Quotacast stands on in an end-to-end test: nothing but itself, or servers that the test starts and can kill. */
import { randomBytes } from 'node:crypto'
import { type KafkaServers, kafkaChecks, startKafka } from '../servers/kafka.ts'
import type { MissingServerError } from '../servers/missing.ts'
import { type RedisKeeps, type RedisServer, redisChecks, startRedis } from '../servers/redis.ts'

const SECRET_BYTES = 32
/** After a kill, its readers' partitions are free again so soon. */
const SESSION_TIMEOUT_MS = 3_000
const REBALANCE_TIMEOUT_MS = 5_000
const PARTITIONS = 3
/** A machine that runs everything, tests among it, answers late now and then. */
const DECISION_DEADLINE_MS = 1_000

interface World {
  name: string
  /** What it needs that may not be installed here. */
  checks: readonly (() => MissingServerError | null)[]
  start(): Promise<StartedWorld>
}

export interface StartedWorld {
  /** Sections of the config that say where the servers are. */
  config: Record<string, unknown>
  /** For each server: kill -9, and started again on what it has on disk. */
  restarts: Record<string, () => Promise<void>>
  /** Their processes. */
  pids: Record<string, number>
  stop(): Promise<void>
}

export const EMBEDDED: World = {
  name: 'embedded',
  checks: [],
  start: async () => ({ config: {}, restarts: {}, pids: {}, stop: async () => undefined }),
}

export const DISTRIBUTED: World = {
  name: 'on Kafka and Redis',
  checks: [...kafkaChecks, ...redisChecks],
  async start() {
    const [kafka, redis] = await Promise.all([startKafka(), startRedis()])
    return {
      config: { log: kafkaLog(kafka), ...onRedis(redis) },
      restarts: restartsOf(kafka, redis),
      pids: { broker: kafka.brokers[0]?.pid() ?? 0, redis: redis.pid() },
      async stop() {
        await Promise.all([kafka.stop(), redis.stop()])
      },
    }
  },
}

/** Only the counters of the limits are in a server. */
const redisWorld = (name: string, keeps: RedisKeeps): World => ({
  name,
  checks: redisChecks,
  async start() {
    const redis = await startRedis(keeps)
    return {
      config: onRedis(redis),
      restarts: {},
      pids: { redis: redis.pid() },
      stop: () => redis.stop(),
    }
  },
})
export const ON_REDIS = redisWorld('on Redis', 'snapshots')
export const ON_SYNCED_REDIS = redisWorld('on Redis, every write synced', 'writes')

const kafkaLog = (kafka: KafkaServers) => ({
  kind: 'kafka',
  brokers: kafka.addresses,
  partitions: PARTITIONS,
  replicationFactor: 1,
  minInsyncReplicas: 1,
  sessionTimeoutMs: SESSION_TIMEOUT_MS,
  rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
})

const onRedis = ({ url }: RedisServer) => ({
  limits: { kind: 'redis', url },
  limiter: { deadlineMs: DECISION_DEADLINE_MS },
  secrets: newSecrets(),
})

const newSecrets = () => {
  const keys = () => [randomBytes(SECRET_BYTES).toString('hex')]
  return { fingerprintKeys: keys(), decisionKeys: keys() }
}

const restartsOf = ({ brokers: [broker] }: KafkaServers, redis: RedisServer) => ({
  async redis() {
    await redis.kill()
    await redis.start()
  },
  async broker() {
    await broker?.kill()
    await broker?.start()
  },
})
