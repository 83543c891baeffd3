/**
 * The promise of exactly once, against processes that die: importer, collector, store, limiter, all of them at once, and
 * the servers that they stand on, are killed with -9 at twenty random moments while recorded and generated calls are
 * imported; afterwards every call is there, once, everywhere, and counted once.
 */
import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith } from '../servers/describe-with.ts'
import { CODE, CONVERSATION, hasTraces, MAPPINGS, TRACES } from './azure.ts'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'
import { DISTRIBUTED, EMBEDDED, type StartedWorld } from './world.ts'

const KILLS = 20
const GENERATED = { consumer: 'generated', calls: 300_000 }
const WAIT_MS_MAX = 900
const TEST_MS = 900_000
/** Within which a machine that does other things gets on with what waits to be stored. */
const PROGRESS_MS_MAX = 120_000
/** Until what was killed before is there again, after its back-off, on a machine that does other things. */
const STARTED_MS_MAX = 60_000
/** The limiter reads everything that came again, and compares itself with the store. */
const SETTLED_MS_MAX = 90_000
const DAY_MS = 86_400_000
const SEED = 20_261_121

/** A linear congruential generator (Numerical Recipes): the order of victims can be repeated. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function writeGenerated(dir: string): { file: string; input: number; output: number } {
  const lines = ['TIMESTAMP,ContextTokens,GeneratedTokens']
  let input = 0
  let output = 0
  for (let index = 0; index < GENERATED.calls; index++) {
    const instant = new Date(Date.UTC(2023, 10, 16, 18, 20) + index * 10)
      .toISOString()
      .replace('T', ' ')
      .replace('Z', '0000')
    input += index % 1000
    output += index % 77
    lines.push(`${instant},${index % 1000},${index % 77}`)
  }
  const file = join(dir, `${GENERATED.consumer}.csv`)
  writeFileSync(file, lines.join('\r\n'))
  return { file, input, output }
}

/** Each of the names about equally often, in an order that can be repeated. */
function drawVictims(names: readonly string[], random: () => number): string[] {
  const drawn = Array.from({ length: KILLS }, (_, index) => names[index % names.length] ?? '')
  return drawn
    .map(name => ({ name, at: random() }))
    .toSorted((one, other) => one.at - other.at)
    .map(({ name }) => name)
}

/** Counts what the records say, in a window that holds all of them. */
const quota = () => ({
  name: 'all-calls',
  match: { tenant: 'azure' },
  per: ['tenant', 'consumer'],
  unit: 'requests',
  limit: 1e9,
  window: { kind: 'fixed', everySeconds: (7 * DAY_MS) / 1000, anchor: new Date(Date.now() - 3 * DAY_MS).toISOString() },
  counts: 'records',
})

const kills = (startWorld: () => Promise<StartedWorld>) => () => {
  let world: StartedWorld
  let quotacast: Quotacast
  beforeAll(async () => {
    world = await startWorld()
    const limiter = { ...(world.config.limiter ?? {}), reconcileSeconds: 5 }
    const ours = { mappings: MAPPINGS, quotas: [quota()], limiter }
    quotacast = await prepareQuotacast({ ...world.config, ...ours })
    await quotacast.start()
    await quotacast.ready()
  }, TEST_MS)
  afterAll(async () => {
    await quotacast?.stop()
    quotacast?.remove()
    await world?.stop()
  }, TEST_MS)

  test(`of whatever there is, ${KILLS} times: every call is stored once and counted once`, {
    timeout: TEST_MS,
  }, async () => {
    const random = createRandom(SEED)
    const generated = writeGenerated(quotacast.dir)
    const files = [...TRACES.map(trace => trace.file), generated.file]
    const command = ['import', ...files, '--mapping', 'azure-llm', '--shift-to', new Date().toISOString(), '--json']
    const under: { way: ChildProcess | null } = { way: null }
    const startImport = (...flags: string[]) =>
      quotacast.cli([...command, ...flags], child => {
        under.way = child
      })
    const victims = {
      importer: () => under.way?.kill('SIGKILL') ?? false,
      collector: () => quotacast.kill('collector'),
      store: () => quotacast.kill('store'),
      engine: () => quotacast.kill('store', 'engine'),
      limiter: () => quotacast.kill('limiter'),
    }
    const isProcess = (name: string): name is keyof typeof victims => name in victims
    const restarts: StartedWorld['restarts'] = {
      ...world.restarts,
      async everything() {
        await quotacast.killAll()
        await quotacast.start()
      },
    }
    let running = startImport()
    for (const victim of drawVictims([...Object.keys(victims), ...Object.keys(restarts)], random)) {
      await sleep(random() * WAIT_MS_MAX)
      // Traffic must flow while something dies: what has ended begins again, from its start.
      if (under.way?.exitCode !== null) running = startImport('--from-start')
      if (isProcess(victim)) await expect.poll(victims[victim], { timeout: STARTED_MS_MAX, interval: 20 }).toBe(true)
      else await restarts[victim]?.()
      if (victim === 'importer') {
        await running
        running = startImport()
      }
    }
    await running
    await quotacast.ready()
    const last = await startImport('--from-start')
    expect(last).toMatchObject({ code: 0, stderr: '' })

    const expected = [
      {
        consumer: CODE.consumer,
        calls: CODE.calls,
        ids: CODE.calls,
        input: CODE.inputTokens,
        output: CODE.outputTokens,
      },
      {
        consumer: CONVERSATION.consumer,
        calls: CONVERSATION.calls,
        ids: CONVERSATION.calls,
        input: CONVERSATION.inputTokens,
        output: CONVERSATION.outputTokens,
      },
      {
        consumer: GENERATED.consumer,
        calls: GENERATED.calls,
        ids: GENERATED.calls,
        input: generated.input,
        output: generated.output,
      },
    ]
    const raw = () =>
      quotacast.query(
        'SELECT consumer, count() AS calls, uniqExact(call_id) AS ids, sum(input_tokens) AS input, sum(output_tokens) AS output FROM calls GROUP BY consumer ORDER BY consumer SETTINGS optimize_use_projections = 0',
      )
    const waiting = async () => {
      const { lag } = (await quotacast.get('collector', '/v1/status')).body
      return lag.reduce((sum: number, { entries }: { entries: number }) => sum + entries, 0)
    }
    // All that was sent again and again is looked at: it may take its time as long as that gets on.
    for (let before = await waiting(); before > 0; before = await waiting())
      await expect.poll(waiting, { timeout: PROGRESS_MS_MAX }).toBeLessThan(before)
    await expect.poll(raw, { timeout: 180_000 }).toEqual(expected)
    const projected = (by: string, projection: string) =>
      quotacast.query(
        `SELECT ${by}, count() AS calls, sum(input_tokens) AS input, sum(output_tokens) AS output FROM calls GROUP BY ${by} ORDER BY ${by} SETTINGS preferred_optimize_projection_name = '${projection}', force_optimize_projection_name = '${projection}'`,
      )
    expect(await projected('consumer', 'usage_by_hour')).toEqual(expected.map(({ ids: _, ...sums }) => sums))
    const sum = (field: 'calls' | 'input' | 'output') => expected.reduce((total, each) => total + each[field], 0)
    const all = { gateway: 'azure-openai', calls: sum('calls'), input: sum('input'), output: sum('output') }
    for (const projection of ['routes_by_hour', 'totals_by_hour'])
      expect(await projected('gateway', projection)).toEqual([all])
    const audit = await quotacast.get('collector', '/v1/store-audit')
    expect(audit).toMatchObject({ status: 200, body: { differences: [] } })

    const used = async (consumer: string) => {
      const body = { tenant: 'azure', consumer, cost: { requests: 1 }, dryRun: true }
      return (await quotacast.post('limiter', '/v1/check', body)).body.quotas?.[0]?.used
    }
    for (const { consumer, calls } of expected) {
      await expect.poll(() => used(consumer), { timeout: SETTLED_MS_MAX, interval: 250 }).toBe(calls)
    }
  })
}

describe.runIf(hasTraces)('kill -9', () => {
  for (const { name, checks, start } of [EMBEDDED, DISTRIBUTED]) describeWith(checks, name, kills(start))
})
