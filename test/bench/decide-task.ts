/** `node --expose-gc decide-task.ts WINDOW`: measures decisions of quotas with this window, prints JSON. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { openEmbeddedLimits } from '../../analyzer/limit/embedded.ts'
import { noDimensions } from '../../analyzer/limit/http.ts'
import { type Ask, createLimiter, type Limiter } from '../../analyzer/limit/limiter.ts'
import { createPolicy } from '../../analyzer/policy/policy.ts'
import { testQuota } from '../analyzer/quotas.ts'
import { DECIDE_CONSUMERS, type Decided, MEMORY_BUCKETS, WINDOWS, type WindowKind } from './decide.ts'

const ROUNDS = 40
const MICROS_PER_MS = 1_000
const silent = pino({ level: 'silent' })
const PERS = [['consumer'], ['tenant', 'consumer'], ['model']]

const dir = mkdtempSync(join(tmpdir(), 'quotacast-decide-'))
const store = await openEmbeddedLimits(
  { kind: 'embedded', flushMs: 25, bucketsMax: 4 * MEMORY_BUCKETS, requestsMax: 1_000 },
  { dir, log: silent },
)

function limiterOf(kind: WindowKind, quotas: number) {
  const all = PERS.slice(0, quotas).map((per, index) =>
    testQuota({ name: `${kind}-${quotas}-${index}`, per, limit: 1e12, window: WINDOWS[kind] }),
  )
  const policy = createPolicy(all)
  return createLimiter({
    policy: () => policy,
    store,
    summing: { count: () => undefined, handOn: async () => undefined, close: async () => undefined },
    asOfMs: nowMs => nowMs,
    nameOf: String,
    onCheck: () => undefined,
    logger: silent,
  })
}
const dimsOf = (index: number) => ({
  ...noDimensions(),
  tenant: `tenant-${index % 20}`,
  consumer: `consumer-${index}`,
  model: 'gpt-5',
  gateway: 'kong',
})
const COST = { requests: 1 }

/** As doors do: they wait for nothing where the counters are in memory. */
function decideAtOnce(limiter: Limiter, ask: Ask): void {
  if (limiter.check(limiter.prepare(ask)) instanceof Promise) throw new Error('counters in memory decide at once')
}

/** The best of some rounds: what others did to the machine meanwhile is not ours. */
async function micros(kind: WindowKind, quotas: number): Promise<number> {
  const limiter = limiterOf(kind, quotas)
  const asks = Array.from({ length: DECIDE_CONSUMERS }, (_, index) => ({
    ...{ dims: dimsOf(index), cost: COST, clientIp: null, requestId: null, isDryRun: false },
  }))
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round += 1) {
    const beganMs = performance.now()
    for (const ask of asks) decideAtOnce(limiter, ask)
    best = Math.min(best, ((performance.now() - beganMs) * MICROS_PER_MS) / DECIDE_CONSUMERS)
    // What changed is written now, and not while it is measured.
    await new Promise(resolve => setTimeout(resolve, 60))
  }
  return best
}

/** Heap and array buffers that a bucket of one of very many subjects takes. */
async function bytesOfBuckets(kind: WindowKind): Promise<number> {
  const limiter = limiterOf(kind, 1)
  const taken = async () => {
    // Until everything is written, what changed is listed beside the buckets.
    for (let turn = 0; turn < 40; turn += 1) await new Promise(resolve => setTimeout(resolve, 100))
    globalThis.gc?.()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const before = await taken()
  const countBefore = store.bucketCount()
  for (let index = 0; index < MEMORY_BUCKETS; index += 1) {
    const ask = { dims: dimsOf(DECIDE_CONSUMERS + index), cost: COST, clientIp: null, requestId: null, isDryRun: false }
    decideAtOnce(limiter, ask)
  }
  return ((await taken()) - before) / (store.bucketCount() - countBefore)
}

const kind = process.argv[2] as WindowKind
const decided: Decided = {
  microsOne: await micros(kind, 1),
  microsThree: await micros(kind, 3),
  bucketBytes: await bytesOfBuckets(kind),
}
await store.close()
rmSync(dir, { recursive: true, force: true })
process.stdout.write(JSON.stringify(decided))
