/**
 * The promise of exactly once, against processes that die: importer, collector and store are killed with -9 at twenty
 * random moments while recorded and generated calls are imported; afterwards every call is there, once, everywhere.
 */
import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CODE, CONVERSATION, hasTraces, MAPPINGS, TRACES } from './azure.ts'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'

const KILLS = 20
const GENERATED = { consumer: 'generated', calls: 300_000 }
const WAIT_MS_MAX = 900
const TEST_MS = 300_000
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

describe.runIf(hasTraces)('kill -9', () => {
  let quotacast: Quotacast
  beforeAll(async () => {
    quotacast = await prepareQuotacast({ mappings: MAPPINGS })
    await quotacast.start()
    await quotacast.ready()
  }, TEST_MS)
  afterAll(async () => {
    await quotacast.stop()
    quotacast.remove()
  }, TEST_MS)

  test(`of importer, collector and store, ${KILLS} times: every call is stored once`, {
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
    }
    const names = Object.keys(victims) as (keyof typeof victims)[]
    const kills = { importer: 0, collector: 0, store: 0, engine: 0 }
    let running = startImport()
    for (let round = 0; round < KILLS; round++) {
      await sleep(random() * WAIT_MS_MAX)
      // Traffic must flow while something dies: what has ended begins again, from its start.
      if (under.way?.exitCode !== null) running = startImport('--from-start')
      const victim = names[Math.floor(random() * names.length)] ?? 'importer'
      await expect.poll(() => victims[victim](), { timeout: 15_000, interval: 20 }).toBe(true)
      kills[victim] += 1
      if (victim === 'importer') {
        await running
        running = startImport()
      }
    }
    await running
    await quotacast.ready()
    for (const victim of names) expect(kills[victim], `kills of ${victim}`).toBeGreaterThan(0)
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
    await expect.poll(raw, { timeout: 60_000 }).toEqual(expected)
    const projected = await quotacast.query(
      'SELECT consumer, count() AS calls, sum(input_tokens) AS input, sum(output_tokens) AS output FROM calls GROUP BY consumer ORDER BY consumer SETTINGS force_optimize_projection = 1',
    )
    expect(projected).toEqual(expected.map(({ ids: _, ...sums }) => sums))
    const audit = await quotacast.get('collector', '/v1/store-audit')
    expect(audit).toMatchObject({ status: 200, body: { differences: [] } })
  })
})
