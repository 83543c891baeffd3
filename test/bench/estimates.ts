/**
 * What estimates are worth: the recorded hour of two LLM services replayed, 32 calls at a time, against budgets of tokens
 * per minute. Each call reserves an estimate when it begins and settles its true cost when it ends, with the limiter's own
 * reservations and limit store; only the clock is simulated. Denied calls are gone.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { createDecisionIds } from '../../analyzer/limit/decision-id.ts'
import { openEmbeddedLimits } from '../../analyzer/limit/embedded.ts'
import { createEstimates, ESTIMATE_QUANTILE } from '../../analyzer/limit/estimates.ts'
import { createLimiter } from '../../analyzer/limit/limiter.ts'
import { createReservations } from '../../analyzer/limit/reservations.ts'
import { createPolicy } from '../../analyzer/policy/policy.ts'
import { callDimensions, testQuota } from '../analyzer/quotas.ts'
import { CODE, CONVERSATION, hasTraces, TRACES } from '../e2e/azure.ts'
import { fixed, printTable } from './table.ts'

const AT_A_TIME = 32
const MINUTE_MS = 60_000
/** How long a call takes: the service answers token by token. */
const FIRST_TOKEN_MS = 300
const TOKEN_MS = 20
/** Budgets, as shares of the mean demand, from one that is short all the time to one that is short at times. */
const BUDGETS = [0.5, 0.65, 0.8]

const STATICS = [0, 500, 1_000, 1_100, 1_200, 1_300, 1_400, 1_500, 1_750, 2_000, 3_000, 4_000, 8_000]
const STATICS_OF_OUTPUT = [0, 25, 50, 75, 100, 150, 200, 250, 300, 400, 500, 1_000, 2_000]
const QUANTILES = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]

interface TracedCall {
  atMs: number
  consumer: string
  input: number
  output: number
}

type Estimate = { kind: 'static'; tokens: number } | { kind: 'learned'; quantile: number }

interface Outcome {
  /** Tokens above the budgets, as a share of them. */
  overshoot: number
  /** Calls that were denied and would have fitted by the true costs, as a share of all calls. */
  needless: number
  /** Tokens used within the budgets, as a share of them. */
  used: number
}

/** Both services in order of time. */
async function readTrace(): Promise<TracedCall[]> {
  const calls: TracedCall[] = []
  for (const { file, consumer } of TRACES) {
    const [, ...lines] = (await readFile(file, 'utf8')).split('\r\n')
    for (const line of lines) {
      const [time = '', input, output] = line.split(',')
      const atMs = Date.parse(`${time.slice(0, 23).replace(' ', 'T')}Z`)
      if (!Number.isNaN(atMs)) calls.push({ atMs, consumer, input: Number(input), output: Number(output) })
    }
  }
  return calls.toSorted((one, other) => one.atMs - other.atMs)
}

/** A budget for each of the services. */
function budgetsOf(calls: readonly TracedCall[], share: number): Map<string, number> {
  const minutes = ((calls.at(-1)?.atMs ?? 0) - (calls[0]?.atMs ?? 0)) / MINUTE_MS
  return new Map(
    TRACES.map(({ consumer, inputTokens, outputTokens }) => [
      consumer,
      Math.round(((inputTokens + outputTokens) / minutes) * share),
    ]),
  )
}

/** What a replay knows of one budget in one minute: the truth that no limiter has. */
interface Truth {
  /** Of calls that have ended. */
  settled: number
  /** Of calls under way. */
  running: number
}

interface Running {
  endMs: number
  call: TracedCall
  id: string
  truth: Truth
}

async function replay(
  calls: readonly TracedCall[],
  share: number,
  estimate: Estimate,
  isInputStated: boolean,
): Promise<Outcome> {
  const budgets = budgetsOf(calls, share)
  const truths = new Map<string, Truth & { budget: number }>()
  let nowMs = calls[0]?.atMs ?? 0
  const opened = await openReplayed(budgets, estimate, () => nowMs)
  const { reservations } = opened
  const running: Running[] = []
  let needless = 0

  const end = async ({ endMs, call: { input, output }, id, truth }: Running) => {
    nowMs = Math.max(nowMs, endMs)
    truth.running -= input + output
    truth.settled += input + output
    const cost = { input_tokens: input, output_tokens: output, total_tokens: input + output }
    await reservations.settle(reservations.parseId(id), cost, null)
  }
  const begin = async (call: TracedCall) => {
    const { consumer, input, output } = call
    const total = input + output
    const budget = budgets.get(consumer) ?? 0
    const minute = `${consumer} ${Math.floor(nowMs / MINUTE_MS)}`
    const truth = truths.get(minute) ?? { settled: 0, running: 0, budget }
    truths.set(minute, truth)
    const ask = { dims: callDimensions({ consumer }), cost: statedCost(call, estimate, isInputStated) }
    const rest = { clientIp: null, requestId: null, isDryRun: false }
    const wish = { ask: { ...ask, ...rest }, maxTokens: null, ttlSeconds: 3_600, owner: 'replay' }
    const { id } = await reservations.reserve(reservations.prepare(wish))
    if (id === null) {
      if (truth.settled + truth.running + total <= budget) needless += 1
      return
    }
    truth.running += total
    running.push({ endMs: nowMs + FIRST_TOKEN_MS + TOKEN_MS * output, call, id, truth })
    running.sort((one, other) => one.endMs - other.endMs)
  }
  for (const call of calls) {
    while (running.length >= AT_A_TIME || (running[0]?.endMs ?? Number.POSITIVE_INFINITY) <= call.atMs) {
      const first = running.shift()
      if (first !== undefined) await end(first)
    }
    nowMs = Math.max(nowMs, call.atMs)
    await begin(call)
  }
  for (const left of running) await end(left)
  await opened.close()
  const sum = (part: (truth: Truth & { budget: number }) => number) =>
    [...truths.values()].reduce((total, truth) => total + part(truth), 0)
  const budget = sum(truth => truth.budget)
  return {
    overshoot: sum(({ settled, budget: own }) => Math.max(0, settled - own)) / budget,
    needless: needless / calls.length,
    used: sum(({ settled, budget: own }) => Math.min(settled, own)) / budget,
  }
}

function statedCost({ input }: TracedCall, estimate: Estimate, isInputStated: boolean) {
  const stated = isInputStated ? { input_tokens: input } : {}
  return estimate.kind === 'learned' ? stated : { total_tokens: estimate.tokens + (isInputStated ? input : 0) }
}

/** The limiter's reservations on a limit store of their own. */
async function openReplayed(budgets: ReadonlyMap<string, number>, estimate: Estimate, now: () => number) {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const logger = pino({ level: 'silent' })
  const limits = { kind: 'embedded', flushMs: 50, bucketsMax: 10_000, requestsMax: 0 } as const
  const store = await openEmbeddedLimits(limits, { dir, log: logger, now })
  const quotas = [...budgets].map(([consumer, limit], index) =>
    testQuota({
      ...{ name: `budget-${index}`, match: { consumer }, per: ['consumer'], unit: 'total_tokens', limit },
      ...{ window: { kind: 'fixed', everySeconds: MINUTE_MS / 1000 }, counts: 'checks' },
    }),
  )
  const current = createPolicy(quotas)
  const policy = () => current
  const summing = { count: () => undefined, handOn: async () => undefined, close: async () => undefined }
  const limiter = createLimiter({
    ...{ policy, store, summing, logger, nameOf: String, onCheck: () => undefined },
    asOfMs: nowMs => nowMs,
  })
  const estimates = createEstimates({ quantile: estimate.kind === 'learned' ? estimate.quantile : 1 })
  const decisionIds = createDecisionIds(['k'.repeat(32)])
  return {
    reservations: createReservations({ limiter, store, policy, summing, estimates, decisionIds }),
    async close() {
      await store.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

const percent = (share: number) => fixed(100 * share, 2)
const badness = ({ overshoot, needless }: Outcome) => overshoot + needless

/** The means over all budgets. */
async function replayAll(calls: readonly TracedCall[], estimate: Estimate, isInputStated: boolean): Promise<Outcome> {
  const mean: Outcome = { overshoot: 0, needless: 0, used: 0 }
  for (const share of BUDGETS) {
    const { overshoot, needless, used } = await replay(calls, share, estimate, isInputStated)
    mean.overshoot += overshoot / BUDGETS.length
    mean.needless += needless / BUDGETS.length
    mean.used += used / BUDGETS.length
  }
  return mean
}

async function compare(calls: readonly TracedCall[], isInputStated: boolean): Promise<void> {
  const statics = (isInputStated ? STATICS_OF_OUTPUT : STATICS).map(tokens => ({ kind: 'static' as const, tokens }))
  const learned = QUANTILES.map(quantile => ({ kind: 'learned' as const, quantile }))
  const rows: [Estimate, Outcome][] = []
  for (const estimate of [...statics, ...learned]) {
    rows.push([estimate, await replayAll(calls, estimate, isInputStated)])
  }
  const [best] = rows.filter(([{ kind }]) => kind === 'static').toSorted((a, b) => badness(a[1]) - badness(b[1]))
  const nameOf = (estimate: Estimate) => {
    if (estimate.kind === 'learned') {
      return `learned, quantile ${estimate.quantile}${estimate.quantile === ESTIMATE_QUANTILE ? ' (default)' : ''}`
    }
    const mark = estimate === best?.[0] ? ' (best static)' : ''
    return isInputStated ? `input + ${estimate.tokens}${mark}` : `${estimate.tokens}${mark}`
  }
  process.stdout.write(`Callers state ${isInputStated ? 'the tokens of their prompts' : 'nothing'}:\n\n`)
  printTable(
    ['estimate', 'overshoot, % of budgets', 'needless denials, % of calls', 'used, % of budgets'],
    rows.map(([estimate, outcome]) => [
      nameOf(estimate),
      percent(outcome.overshoot),
      percent(outcome.needless),
      percent(outcome.used),
    ]),
  )
}

/** Overshoot and needless denials of static estimates against learned ones. */
export async function benchEstimates(): Promise<void> {
  if (!hasTraces) {
    process.stdout.write(`Left out: estimates. The traces are missing: ${CONVERSATION.file}, ${CODE.file}\n\n`)
    return
  }
  const calls = await readTrace()
  process.stdout.write(
    `Estimates: ${calls.length} calls of two services, ${AT_A_TIME} at a time; budgets of tokens per service and minute, ` +
      `${BUDGETS.map(share => `${100 * share} %`).join(', ')} of the mean demand (means of the three). The best static estimate is ` +
      'the one with the least overshoot and needless denials together.\n\n',
  )
  for (const isInputStated of [true, false]) await compare(calls, isInputStated)
}
