/** What a mapping got wrong, mended in the config, and replayed by the commands that a user has. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'

const TEST_MS = 120_000
const KEY = 'raw-key-of-somebody'
const CALLS = 3
const config = {
  mappings: {
    recorded: {
      format: 'csv',
      fields: { startedAtMs: { from: 'at', time: 'unix_s' }, credential: 'who', inputTokens: 'tokens' },
      constants: { gateway: '{fileStem}' },
    },
  },
}

let quotacast: Quotacast
let file: string
let stops: (() => Promise<void>)[] = []
const serve = async (role: 'store' | 'collector') => {
  const { stop } = await quotacast.serve(role)
  await quotacast.ready([role])
  return stop
}

beforeAll(async () => {
  quotacast = await prepareQuotacast(config)
  stops = [await serve('store')]
  file = join(quotacast.dir, 'edge.csv')
  const lines = Array.from({ length: CALLS }, (_, n) => `2026-11-20T12:00:0${n}Z,${KEY},${n + 1}`)
  writeFileSync(file, ['at,who,tokens', ...lines, ''].join('\n'))
}, TEST_MS)
afterAll(async () => {
  for (const stop of stops.toReversed()) await stop()
  quotacast?.remove()
}, TEST_MS)

const importFile = (...flags: string[]) => quotacast.cli(['import', file, '--mapping', 'recorded', '--json', ...flags])
const counted = () =>
  quotacast.query<{ calls: number; ids: number }>('SELECT count() AS calls, uniqExact(call_id) AS ids FROM calls')

test('rejected, mended, replayed, imported again: one row each', { timeout: TEST_MS }, async () => {
  const stopCollector = await serve('collector')
  expect((await importFile()).code).toBe(1)
  const counts = async () => (await quotacast.get('collector', '/v1/rejections/counts')).body.counts
  await expect
    .poll(counts)
    .toMatchObject([{ source: 'recorded', reason: 'invalid_field', count: CALLS, replayable: CALLS }])
  const shown = await quotacast.cli(['rejections', '--source', 'recorded', '--newest', '1'])
  expect(shown.stdout).toMatch(
    /recorded {2}invalid_field {2}startedAtMs \(at\): .* is not .*\n.*2026-11-20T12:00:0\dZ,key:[0-9a-f]{24},/,
  )
  expect(shown.stdout).not.toContain(KEY)
  expect(await quotacast.cli(['replay'])).toMatchObject({
    code: 1,
    stdout: expect.stringContaining(`Rejected again: ${CALLS} invalid_field.`),
  })
  await stopCollector()

  const configFile = join(quotacast.dir, '../quotacast.yaml')
  writeFileSync(configFile, readFileSync(configFile, 'utf8').replace('unix_s', 'iso'))
  stops.push(await serve('collector'))
  expect(await quotacast.cli(['replay', '--source', 'recorded'])).toMatchObject({
    code: 0,
    stdout: `${CALLS} are calls now.\n`,
  })
  await expect.poll(counted).toEqual([{ calls: CALLS, ids: CALLS }])
  expect(await counts()).toEqual([])

  expect(await importFile('--from-start')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`"accepted":${CALLS}`),
  })
  await expect.poll(async () => (await quotacast.get('collector', '/v1/status')).body.stored.duplicates).toBe(CALLS)
  expect(await counted()).toEqual([{ calls: CALLS, ids: CALLS }])
  expect(await quotacast.query("SELECT DISTINCT gateway FROM calls WHERE startsWith(consumer, 'key:')")).toEqual([
    { gateway: 'edge' },
  ])
})
