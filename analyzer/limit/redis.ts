/**
 * The limit store that several limiters share: counters in one Redis primary, one script a decision. The arithmetic is
 * that of bucket.ts and the steps are those of counters.ts, in Lua (`*.lua` beside this file); this file connects.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { readTls } from '../../collector/tls.ts'
import { reservationsExpired } from '../events.ts'
import { type CallSpend, type DecisionReference, LimitStoreError, type SettleOutcome } from './limit-store.ts'
import type { LimitStoreDeps } from './limits-options.ts'
import { type Adding, createAdding } from './redis-adding.ts'
import { createRedisClock, type RedisClock } from './redis-clock.ts'
import { correctInSteps, parseComparison } from './redis-comparing.ts'
import { CALL_MS_MAX, createRedisConnection, type RedisCommands, type RedisConnection } from './redis-connection.ts'
import { createDeciding } from './redis-deciding.ts'
import { encodeReference, encodeSpends, toNumbers } from './redis-encoding.ts'
import { createGivingBack } from './redis-giving-back.ts'
import type { RedisLimitsOptions } from './redis-options.ts'
import { createPositions, type Positions } from './redis-positions.ts'
import { createReservationReading } from './redis-reservations.ts'
import { loadScripts, positionsKey, probeKey } from './redis-scripts.ts'
import { createSeen, type Seen } from './redis-seen.ts'
import { createRedisWrites, type RedisWrites } from './redis-writes.ts'
import { DEADLINE_MS, type SharedLimitStore } from './shared-limit-store.ts'

/** How often windows that have ended and reservations that have expired are looked for, and the clock is compared. */
const SWEEP_MS = 500
/** How long opening waits for Redis; afterwards the store opens without it. */
const OPEN_MS_MAX = 2_000
const OPEN_POLL_MS = 5
/** How long Redis keeps what says that it takes writes. */
const PROBE_KEPT_MS = 60_000
/** A connection on which nothing arrives for so long while an answer is due is given up. */
const SILENT_MS_MAX = 3_000
/** Between attempts to connect. */
const RECONNECT_MS_MIN = 50
const RECONNECT_MS_MAX = 2_000

/**
 * Connects to Redis. Resolves also while Redis is away: then the store is `unavailable()` until it is there. Throws
 * `LimitStoreError` when a server answers that cannot hold limits (Redis Cluster, a replica, one that evicts keys, one
 * that does not let us in), `TlsError` when a file of `tls` cannot be used.
 */
export async function openRedisLimits(options: RedisLimitsOptions, deps: LimitStoreDeps): Promise<SharedLimitStore> {
  const { deadlineMs = DEADLINE_MS } = deps
  const client = await createClient(options, deadlineMs)
  const clock = createRedisClock(deps.now)
  const seen = createSeen()
  const buckets: BucketCount = { now: 0 }
  const onBucketCount = (count: number) => {
    buckets.now = count
  }
  const probe = () => client.set(probeKey(options.keyPrefix), '', 'PX', PROBE_KEPT_MS)
  const writes = createRedisWrites({ probe, log: deps.log })
  const connection = createRedisConnection({
    commands: toCommands(client),
    scripts: await loadScripts(options.keyPrefix),
    clock,
    now: deps.now,
    log: deps.log,
    seen,
    onBucketCount,
    onFailure: writes.failed,
  })
  const { bucketsMax } = options
  const key = positionsKey(options.keyPrefix)
  const positions = createPositions({ connection, key, seen, bucketsMax, onBucketCount })
  const sweeping = startSweeping({ connection, clock, log: deps.log, onBucketCount })
  const closing = new AbortController()
  const close = async () => {
    closing.abort()
    clearInterval(sweeping)
    writes.close()
    connection.close()
    client.disconnect()
  }
  listen(client, connection)
  const refusal = await untilUsable(connection)
  if (refusal !== null) {
    await close()
    throw new LimitStoreError('LIMITS_UNAVAILABLE', refusal)
  }
  const adding = createAdding({ connection, bucketsMax, onBucketCount })
  const verbs = createVerbs(options, { connection, writes, clock, seen, buckets, deadlineMs, closed: closing.signal })
  return { ...verbs, ...positions, ...adding, close }
}

interface BucketCount {
  now: number
}

interface Parts {
  connection: RedisConnection
  writes: RedisWrites
  clock: RedisClock
  seen: Seen
  buckets: BucketCount
  deadlineMs: number
  closed: AbortSignal
}

function createVerbs(
  { bucketsMax, requestsMax }: RedisLimitsOptions,
  { connection, writes, clock, seen, buckets, deadlineMs, closed }: Parts,
): Omit<SharedLimitStore, keyof Positions | keyof Adding | 'close'> {
  const settle = async (
    reference: DecisionReference,
    spends: readonly CallSpend[],
    isForNobody: boolean,
  ): Promise<SettleOutcome> => {
    const args = [encodeReference(reference), encodeSpends(spends), isForNobody ? '1' : '', String(bucketsMax)]
    const [settled, count = 0] = toNumbers(await connection.runForBytes('settle', args, CALL_MS_MAX))
    onBucketCount(count)
    return settled === 1 ? 'settled' : 'already_settled'
  }
  const undo = (reference: DecisionReference) => settle(reference, [], true)
  const onBucketCount = (count: number) => {
    buckets.now = count
  }
  const room = [String(bucketsMax), String(requestsMax)]
  const deciding = createDeciding({
    deadlineMs,
    nowMs: clock.nowMs,
    seen,
    run: (requests, notAfterMs) => connection.runForBytes('decide', [requests, String(notAfterMs), ...room]),
    giveBack: createGivingBack(undo, closed),
    onBucketCount,
  })
  const compare = (args: readonly string[]) => connection.run('compare', args, CALL_MS_MAX)
  let forgotten = 0
  const runCorrect = (args: readonly string[]) => connection.runForBytes('compare', ['correct', ...args], CALL_MS_MAX)
  return {
    nowMs: clock.nowMs,
    decide: deciding.decide,
    decideAtOnce: null,
    settle: (reference, spends) => settle(reference, spends, false),
    release: reference => settle(reference, [], false),
    undo,
    ...createReservationReading(connection),
    forgetComparisons: async () => {
      await compare(['forget'])
      forgotten += 1
    },
    beginComparison: async () => parseComparison(await compare(['begin'])),
    correct: (comparisonId, truths) =>
      correctInSteps(comparisonId, truths, { bucketsMax, onBucketCount, run: runCorrect }),
    losses: () => connection.losses() + forgotten,
    rebuilt: async () => void (await compare(['rebuilt', String(connection.epoch())])),
    bucketCount: () => buckets.now,
    unavailable: () =>
      connection.unavailable() ?? writes.refusal() ?? (deciding.isOverdue() ? 'Redis does not answer' : null),
    isJoined: connection.isJoined,
  }
}

/** Not connected yet. */
async function createClient(
  { url, username, password, db, tls = {} }: RedisLimitsOptions,
  deadlineMs: number,
): Promise<Redis> {
  return new Redis(url, {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(url.startsWith('rediss:') ? { tls: await readTls(tls, 'limits.tls') } : {}),
    db,
    protocol: 2,
    connectionName: 'quotacast-limiter',
    lazyConnect: true,
    connectTimeout: SILENT_MS_MAX,
    // Not while a decision may still be waited for.
    socketTimeout: Math.max(SILENT_MS_MAX, 2 * deadlineMs),
    // A decision that was sent and not answered must not be sent again: it may have been made.
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    // The primary has become a replica: whatever has the name now is looked at.
    reconnectOnError: error => error.message.startsWith('READONLY'),
    retryStrategy: attempt => {
      const delayMs = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(attempt, 16))
      return delayMs * (0.5 + Math.random() / 2)
    },
  })
}

const toCommands = (client: Redis): RedisCommands => ({
  info: () => client.info(),
  evalSha: (sha, args) => client.callBuffer('evalsha', sha, 0, ...args),
  eval: (text, args) => client.callBuffer('eval', text, 0, ...args),
  hashField: (key, field) => client.hget(key, field),
})

/** Tells the connection what becomes of the client, and connects. */
function listen(client: Redis, connection: RedisConnection): void {
  let lastError = 'the connection was closed'
  client.on('error', (error: Error) => {
    lastError = error.message
  })
  client.on('ready', () => connection.connected())
  client.on('close', () => {
    connection.disconnected(lastError)
    lastError = 'the connection was closed'
  })
  // What is wrong arrives as an event, too.
  client.connect().catch(() => undefined)
}

/** Waits for Redis, for a while; answers why it will not do. */
async function untilUsable(connection: RedisConnection): Promise<string | null> {
  const endMs = performance.now() + OPEN_MS_MAX
  while (connection.unavailable() !== null && performance.now() < endMs) {
    const refusal = connection.refusal()
    if (refusal !== null) return refusal
    await sleep(OPEN_POLL_MS)
  }
  return connection.refusal()
}

interface SweepingDeps extends Pick<Parts, 'connection' | 'clock'> {
  log: LimitStoreDeps['log']
  onBucketCount: (count: number) => void
}

function startSweeping({ connection, clock, log, onBucketCount }: SweepingDeps): NodeJS.Timeout {
  let isSweeping = false
  const sweep = async () => {
    const sentMs = performance.now()
    const answer = await connection.runForBytes('sweep', [], CALL_MS_MAX)
    const [redisMs = 0, buckets = 0, expired = 0, isMore = 0, epoch = 0] = toNumbers(answer)
    clock.note(redisMs, sentMs, performance.now())
    onBucketCount(buckets)
    if (expired > 0) reservationsExpired(log, expired)
    await connection.rejoinUnless(epoch)
    if (isMore === 1) await sweep()
  }
  return setInterval(() => {
    if (isSweeping || connection.unavailable() !== null) return
    isSweeping = true
    // Why it failed is why nothing else works either, and is said there.
    sweep()
      .catch(() => undefined)
      .finally(() => {
        isSweeping = false
      })
  }, SWEEP_MS)
}
