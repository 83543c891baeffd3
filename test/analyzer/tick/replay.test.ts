/**
 * A recorded hour of real LLM calls, replayed against the real engine minute by minute: a quota that the hour will use
 * up must be seen to run out, one that is twice as large must not.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { openFitting } from '../../../analyzer/tick/fitting.ts'
import { WHOLE } from '../../../analyzer/tick/shard.ts'
import { createTicker } from '../../../analyzer/tick/ticker.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { testQuota } from '../quotas.ts'
import { storeCalls } from '../store-calls.ts'

const TRACE = new URL('../../../../shared/data/calls/AzureLLMInferenceTrace_conv.csv', import.meta.url).pathname
const MINUTE_MS = 60_000
/** An hour is 58 ticks of the whole analyzer, on a machine that may be busy. */
const REPLAY_MS_MAX = 120_000
const HOUR_MS = 60 * MINUTE_MS

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())

test.skipIf(!existsSync(TRACE))(
  `a real hour is forecast as it goes (needs ${TRACE})`,
  async () => {
    // Moved to now: calls that arrived years ago are not kept.
    const recorded = (await readFile(TRACE, 'utf8'))
      .split('\r\n')
      .slice(1)
      .map(line => Date.parse(`${line.slice(0, 23).replace(' ', 'T')}Z`))
    const shiftMs = Date.now() - (recorded.at(-1) ?? 0)
    const starts = recorded.map(atMs => atMs + shiftMs)
    const [anchorMs = 0] = starts
    const window = { kind: 'fixed', everySeconds: HOUR_MS / 1000, anchor: new Date(anchorMs).toISOString() } as const
    const tight = testQuota({ name: 'tight', limit: Math.floor(starts.length * 0.95), window })
    const roomy = testQuota({ name: 'roomy', limit: starts.length * 2, window })
    let nowMs = anchorMs
    const policy = createPolicy([tight, roomy])
    const ticker = createTicker({
      client: testStore.store.client,
      policy: () => policy,
      subjectsMax: 10,
      fitting: openFitting(0),
      shard: WHOLE,
      now: () => nowMs,
    })
    const answers: { tight: number | null; roomy: number | null }[] = []
    let sent = 0
    for (let minute = 1; minute <= 58; minute++) {
      nowMs = anchorMs + minute * MINUTE_MS
      const end = starts.findIndex(startedAtMs => startedAtMs >= nowMs)
      const calls = starts.slice(sent, end === -1 ? undefined : end)
      sent += calls.length
      await storeCalls(
        testStore.store,
        calls.map(startedAtMs => ({ startedAtMs, arrivedAtMs: nowMs })),
      )
      const { forecasts } = await ticker.tick()
      const [forTight, forRoomy] = forecasts
      expect(forTight?.used).toBe(sent)
      answers.push({ tight: forTight?.probability ?? null, roomy: forRoomy?.probability ?? null })
    }
    const at = (minute: number) => answers[minute - 1]
    // Two minutes of a new key say nothing; from then on both have an opinion.
    expect(at(2)).toEqual({ tight: null, roomy: null })
    for (const { roomy } of answers.slice(2)) expect(roomy).toBeLessThan(0.1)
    const rising = [10, 25, 33, 42, 50, 56].map(minute => at(minute)?.tight ?? 0)
    for (const [index, probability] of rising.slice(1).entries())
      expect(probability).toBeGreaterThan(rising[index] ?? 1)
    expect(at(10)?.tight).toBeGreaterThan(0.2)
    expect(at(42)?.tight).toBeGreaterThan(0.85)
    expect(at(56)?.tight).toBe(1)
  },
  REPLAY_MS_MAX,
)
