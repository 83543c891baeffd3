/**
 * The life of a connection: every time it is made, the server is looked at and the epoch of its counters is joined, or
 * begun, before anything else is asked; a script that finds the counters gone (`FLUSHALL`) has it done again. Whatever
 * goes wrong is said by `unavailable()` and ends by itself when Redis is well.
 */
import type { Logger } from 'pino'
import { redisAway, redisJoined } from '../events.ts'
import { LimitStoreError } from './limit-store.ts'
import type { RedisClock } from './redis-clock.ts'
import { encodeRequests, toNumbers } from './redis-encoding.ts'
import type { Script, ScriptName } from './redis-scripts.ts'
import type { Seen } from './redis-seen.ts'
import { parseServerInfo } from './redis-server.ts'

/** How long anything but a decision may take. */
export const CALL_MS_MAX = 5_000
/** How often a server that was refused is looked at again. */
const REFUSED_RETRY_MS = 1_000

/** Before the reason why a server will not do at all; written by `open.lua`, too. */
const REFUSED = 'REFUSED '
/** What Redis answers to a wrong password or a user that may not. */
const LOGIN_FAILURE = /^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH)/

/** The commands that we use of a client. All of them reject when the connection is gone. */
export interface RedisCommands {
  info(): Promise<string>
  evalSha(sha: string, args: readonly string[]): Promise<unknown>
  eval(text: string, args: readonly string[]): Promise<unknown>
  hashField(key: string, field: string): Promise<string | null>
}

export interface RedisConnectionDeps {
  commands: RedisCommands
  scripts: Record<ScriptName, Script>
  clock: RedisClock
  /** The clock that scripts are given instead of Redis' own; only tests have one. */
  now: (() => number) | undefined
  log: Logger
  /** Forgotten when an epoch begins. */
  seen: Seen
  onBucketCount: (count: number) => void
  /** Told what Redis answers where a question fails. */
  onFailure: (message: string) => void
}

export interface RedisConnection {
  /** Runs a script. Rejects with `LimitStoreError`; within `withinMs` where it is given. */
  run(name: ScriptName, args: readonly string[], withinMs?: number): Promise<unknown>
  /** Like `run`, for scripts that answer with bytes. */
  runForBytes(name: ScriptName, args: readonly string[], withinMs?: number): Promise<Buffer>
  hashField(key: string, field: string): Promise<string | null>
  /** Why nothing can be asked, or `null`. */
  unavailable(): string | null
  /** Whether an epoch was ever joined. */
  isJoined(): boolean
  /** Why this server will not do, or `null`; it is looked at again all the same. */
  refusal(): string | null
  /** How often counters were found empty or behind what was seen. */
  losses(): number
  /** The epoch that was joined last; 0 for none. */
  epoch(): number
  /** Has the epoch looked at again: the counters were seen to have gone back. */
  rejoin(): Promise<void>
  /** The same, where it is not `epoch`: another limiter has begun that one, and may know of a loss. */
  rejoinUnless(epoch: number): Promise<void>
  /** To be told by the client: the connection can be used, or it is gone. */
  connected(): void
  disconnected(why: string): void
  close(): void
}

/** Rejects when `promise` takes longer. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    reject(new LimitStoreError('LIMITS_UNAVAILABLE', `Redis did not answer within ${ms} ms`))
  }, ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

export function createRedisConnection(deps: RedisConnectionDeps): RedisConnection {
  const call = createCall(deps)
  const life = createLife(deps, call)

  const ask = async <T>(question: () => Promise<T>): Promise<T> => {
    const why = life.unavailable()
    if (why !== null) throw new LimitStoreError('LIMITS_UNAVAILABLE', why)
    return question().catch(error => {
      deps.onFailure(messageOf(error))
      throw toLimitError(error)
    })
  }
  const runNow = (name: ScriptName, args: readonly string[]) =>
    ask(async () => {
      try {
        return await call(name, args)
      } catch (error) {
        if (!messageOf(error).startsWith('EPOCHLOST')) throw error
        await life.join()
        return call(name, args)
      }
    })
  const run = (name: ScriptName, args: readonly string[], withinMs?: number) =>
    withinMs === undefined ? runNow(name, args) : within(runNow(name, args), withinMs)

  return {
    run,
    runForBytes: async (name, args, withinMs) => toBytes(await run(name, args, withinMs)),
    hashField: (key, field) => ask(() => within(deps.commands.hashField(key, field), CALL_MS_MAX)),
    rejoin: life.join,
    rejoinUnless: async epoch => void (epoch === life.epoch() || (await life.join())),
    unavailable: life.unavailable,
    isJoined: () => life.epoch() > 0,
    refusal: life.refusal,
    losses: life.losses,
    epoch: life.epoch,
    connected: life.connected,
    disconnected: life.disconnected,
    close: life.close,
  }
}

type Call = (name: ScriptName, args: readonly string[]) => Promise<unknown>

/** Runs scripts that the server knows, and teaches it those that it does not. */
const createCall =
  ({ commands, scripts, now }: RedisConnectionDeps): Call =>
  async (name, args) => {
    const all = [now === undefined ? '' : String(now()), ...args]
    try {
      return await commands.evalSha(scripts[name].sha, all)
    } catch (error) {
      if (!messageOf(error).startsWith('NOSCRIPT')) throw error
      return commands.eval(scripts[name].text, all)
    }
  }

interface Life
  extends Pick<
    RedisConnection,
    'unavailable' | 'refusal' | 'losses' | 'epoch' | 'connected' | 'disconnected' | 'close'
  > {
  /** Joins the epoch anew, one at a time; never rejects. */
  join(): Promise<void>
}

function createLife(deps: RedisConnectionDeps, call: Call): Life {
  let reason: string | null = 'Redis is not connected yet'
  let refusal: string | null = null
  let joining: Promise<void> | null = null
  let isConnected = false
  let isClosed = false
  let connections = 0
  let epoch = 0
  let losses = 0
  let retry: NodeJS.Timeout | undefined

  const becomeUnavailable = (why: string) => {
    if (reason !== why && !isClosed) redisAway(deps.log, why)
    reason = why
  }
  const tryToJoin = async () => {
    let connection: number
    let joined: Joined | string
    do {
      connection = connections
      joined = await within(joinEpoch(deps, call, epoch), CALL_MS_MAX).catch(messageOf)
      // Made anew meanwhile: what was joined is not what is there.
    } while (connection !== connections && isConnected)
    if (!isConnected || isClosed) return
    if (typeof joined !== 'string') {
      epoch = joined.epoch
      if (joined.isLost) losses += 1
      reason = null
      refusal = null
      return
    }
    refusal = joined.startsWith(REFUSED) ? joined.slice(REFUSED.length) : null
    becomeUnavailable(refusal ?? joined)
    retry = setTimeout(() => void join(), REFUSED_RETRY_MS)
  }
  const join = (): Promise<void> => {
    clearTimeout(retry)
    joining ??= tryToJoin().finally(() => {
      joining = null
    })
    return joining
  }
  return {
    join,
    epoch: () => epoch,
    unavailable: () => reason,
    refusal: () => refusal,
    losses: () => losses,
    connected() {
      connections += 1
      isConnected = true
      void join()
    },
    disconnected(why) {
      connections += 1
      isConnected = false
      clearTimeout(retry)
      refusal = LOGIN_FAILURE.test(why) ? `Redis does not let us in: ${why}` : null
      becomeUnavailable(refusal ?? why)
    },
    close() {
      isClosed = true
      clearTimeout(retry)
    },
  }
}

interface Joined {
  readonly epoch: number
  readonly isLost: boolean
}

async function joinEpoch(deps: RedisConnectionDeps, call: Call, lastEpoch: number): Promise<Joined> {
  const server = parseServerInfo(await deps.commands.info())
  if (server.refusal !== null) throw new Error(REFUSED + server.refusal)
  const sentMs = performance.now()
  const seen = [JSON.stringify([...deps.seen.offsets].flat()), String(deps.seen.sequenceIn(lastEpoch))]
  const answer = toBytes(await call('open', [server.runId, String(lastEpoch), ...seen]))
  const [redisMs = 0, epoch = 0, buckets = 0, isNew = 0, reachedMs = 0, isLost = 0] = toNumbers(answer)
  deps.clock.note(redisMs, sentMs, performance.now())
  // Nothing to decide, and too late: so that the first decision need not wait until Redis has learned the script.
  await call('decide', [encodeRequests([]), '0', '0', '0'])
  deps.clock.reach(reachedMs)
  deps.onBucketCount(buckets)
  if (isNew === 1) deps.seen.offsets.clear()
  redisJoined(deps.log, { epoch, buckets, isNew: isNew === 1 })
  return { epoch, isLost: isLost === 1 }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function toLimitError(error: unknown): LimitStoreError {
  if (error instanceof LimitStoreError) return error
  return new LimitStoreError('LIMITS_UNAVAILABLE', `Redis: ${messageOf(error)}`, { cause: error })
}

function toBytes(answer: unknown): Buffer {
  if (!Buffer.isBuffer(answer)) throw new TypeError('a script answers with bytes')
  return answer
}
