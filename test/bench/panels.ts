/**
 * How long every panel's statement takes over many calls, made by the engine itself: the whole round trip, as the user
 * that Grafana is, over the time that its board shows at first.
 */
import { readFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@clickhouse/client'
import { STORE_DATABASE } from '../../collector/store/tables.ts'
import { BOARDS } from '../../dashboards/boards.ts'
import { expand, rangeOf, secondsOf, type Values } from '../dashboards/expand.ts'
import { openTestStore, type TestStore } from '../store-fixture.ts'
import { cpuSeconds } from './machine.ts'
import { fixed, printTable, quantile, thousands } from './table.ts'

const CALLS = 50_000_000
const DAYS = 14
/** Inserts: few enough calls each that their projections fit into the memory of an engine as it is configured. */
const PARTS = 10 * DAYS
const PART_MS = (DAYS * 86_400_000) / PARTS
const CALLS_OF_PART = Math.round(CALLS / PARTS)
const CONSUMERS = 10_000
const TENANTS = 100
/** Subjects that the limiter was asked about in the last day, every ten minutes. */
const ASKED = 1_000
const RUNS = 5
const POINTS = 800
/** Longest wait for merges, which two weeks would have had the time for. */
const MERGES_MS_MAX = 900_000
const POLL_MS = 1_000

/** Calls of a part of a day, spread over it. Every consumer has its tenant, gateway and two models; some are much busier than others. */
const callsOfPart = (part: number): string => `INSERT INTO calls
  (call_id, request_id, started_at, arrived_at, tenant, consumer, gateway, dialect, method, route, service, provider, model, provider_key, status, outcome,
   latency_ms, upstream_latency_ms, request_bytes, response_bytes, input_tokens, cached_input_tokens, output_tokens, total_tokens, cost_micros, upstream_limits,
   client_ip, log_id, log_partition, log_offset)
SELECT generateUUIDv4(number), toString(number), begin + toIntervalMillisecond(intDiv(number * ${PART_MS}, ${CALLS_OF_PART})) AS at, at + toIntervalMillisecond(random % 3000),
  concat('tenant-', toString(who % ${TENANTS})), concat('consumer-', toString(who)), concat('gateway-', toString(who % 3)), 'canonical', 'POST',
  concat('/v1/route-', toString(random % 8)), 'models', concat('provider-', toString(who % 3)), concat('model-', toString((who + random % 2) % 6)), concat('key-', toString(who % 20)),
  200, multiIf(random % 100 < 2, 'server_error', random % 100 < 4, 'client_error', random % 100 < 8, 'limited', random % 1000 < 3, 'exhausted', 'ok'),
  exp(5 + (random % 1000) / 400), 100, 4000, 2000, random % 3000, random % 500, random % 800, random % 3800, random % 20000,
  if(who % 20 = 0, '{"units":{"requests":{"limit":1000,"remaining":400,"resetAtMs":0}},"retryAfterMs":null}', ''),
  concat('192.0.2.', toString(who % 250)), 'bench', 0, number + ${part * CALLS_OF_PART}
FROM (SELECT number, cityHash64(number, ${part}) AS random, toUInt32(pow(random % 1000000 / 1e6, 2) * ${CONSUMERS}) AS who,
  fromUnixTimestamp64Milli(toInt64(toUnixTimestamp(now())) * 1000 - ${(PARTS - part) * PART_MS}, 'UTC') AS begin
  FROM numbers(${CALLS_OF_PART}))`

const forecasts = `INSERT INTO forecasts
SELECT if(who % 2 = 0, 'tokens-per-day', 'cost-per-month') AS quota, concat('{"tenant":"tenant-', toString(who % ${TENANTS}), '","consumer":"consumer-', toString(who), '"}'),
  concat('tenant-', toString(who % ${TENANTS})), concat('consumer-', toString(who)), if(who % 2 = 0, 'total_tokens', 'cost'),
  if(who % 2 = 0, toStartOfDay(now()) - INTERVAL day DAY, toStartOfMonth(now())) AS begin, if(who % 2 = 0, begin + INTERVAL 1 DAY, begin + INTERVAL 1 MONTH) AS end,
  begin + toIntervalSecond(intDiv(part * dateDiff('second', begin, end), 12)) AS as_of, concat(toString(part), '/12'), part * 100 + who % 300, 1100,
  (part * 100 + who % 300) / 1500, if(who % 3 = 0, as_of + INTERVAL 1 HOUR, NULL), if(who % 3 = 0, as_of + INTERVAL 2 HOUR, NULL), if(who % 3 = 0, as_of + INTERVAL 3 HOUR, NULL),
  900, 1000, 1200, 200, 100, -100, 1, 'normal', 'bench'
FROM (SELECT number % ${CONSUMERS} AS who, intDiv(number, ${CONSUMERS}) % 12 AS part, intDiv(number, ${CONSUMERS} * 12) AS day FROM numbers(${CONSUMERS * 12 * DAYS}))
WHERE as_of <= now() AND (who % 2 = 0 OR day = 0)`

const decisions = `INSERT INTO decisions (sum_id, minute, quota, subject, tenant, consumer, unit, allowed, denied, spent, denied_cost, log_id, log_partition, log_offset)
SELECT generateUUIDv4(number), toStartOfMinute(now() - toIntervalMinute(10 * intDiv(number, ${ASKED}))), 'tokens-per-day',
  concat('{"tenant":"tenant-', toString(who % ${TENANTS}), '","consumer":"consumer-', toString(who), '"}'), concat('tenant-', toString(who % ${TENANTS})),
  concat('consumer-', toString(who)), 'total_tokens', 20, who % 5, 4000, who % 5 * 200, 'bench', 0, number
FROM (SELECT number, number % ${ASKED} AS who FROM numbers(${ASKED * 144}))`

const change = `INSERT INTO audit SELECT toString(number), now() - toIntervalHour(number), 'bench', 'quota_config', 'tokens-per-day', number, number + 1, '{"options":{"enforcement":"shadow"}}', '', 'bench', 0, number FROM numbers(100)`

export async function benchPanels(): Promise<void> {
  const store = await openTestStore()
  try {
    const fillSeconds = await fill(store)
    const [size] = await store.rows<{ rows: number; parts: number; gib: number }>(
      "SELECT sum(rows) AS rows, count() AS parts, sum(bytes_on_disk) / 1073741824 AS gib FROM system.parts WHERE table = 'calls' AND active",
    )
    const { rows: calls = 0, parts = 0, gib = 0 } = size ?? {}
    process.stdout.write(
      `${thousands(calls)} calls of ${thousands(CONSUMERS)} consumers in ${DAYS} days, ${parts} parts, ${fixed(gib, 1)} GiB, made in ${fixed(fillSeconds, 0)} s; ${RUNS} runs of each statement\n\n`,
    )
    const measured = await measure(store)
    printTable(
      ['board', 'panel', 'median ms', 'p95 ms', 'CPU ms', 'rows'],
      measured.map(({ board, panel, times, cpuMs, rows }) => [
        board,
        panel,
        fixed(quantile(times, 0.5), 0),
        fixed(quantile(times, 0.95), 0),
        fixed(cpuMs, 0),
        thousands(rows),
      ]),
    )
    const all = measured.flatMap(({ times }) => times)
    process.stdout.write(
      `All: median ${fixed(quantile(all, 0.5), 0)} ms, p95 ${fixed(quantile(all, 0.95), 0)} ms; load average ${fixed(loadavg()[0] ?? 0, 0)}\n\n`,
    )
  } finally {
    await store.close()
  }
}

/** Answers the seconds that it took, until there is nothing to merge any more. */
async function fill({ store, rows }: TestStore): Promise<number> {
  const startedAt = performance.now()
  const run = (query: string) => store.client.command({ query, clickhouse_settings: { max_insert_threads: '1' } })
  for (let part = 0; part < PARTS; part++) {
    await run(callsOfPart(part))
    process.stderr.write(`\r${part + 1} of ${PARTS} inserts`)
  }
  process.stderr.write('\n')
  for (const query of [forecasts, decisions, change]) await run(query)
  const untilMs = performance.now() + MERGES_MS_MAX
  while ((await rows("SELECT 1 FROM system.merges WHERE table = 'calls'")).length > 0 && performance.now() < untilMs)
    await sleep(POLL_MS)
  return (performance.now() - startedAt) / 1000
}

interface Measured {
  board: string
  panel: string
  /** Milliseconds, of each run. */
  times: number[]
  /** Of the engine, for each run: it moves less than times do where others use the machine. */
  cpuMs: number
  rows: number
}

async function measure({ dir, store, engine }: TestStore): Promise<Measured[]> {
  const { grafana } = JSON.parse(await readFile(join(dir, 'credentials.json'), 'utf8')) as { grafana: string }
  const access = { url: store.url, username: 'grafana', password: grafana, database: STORE_DATABASE }
  const client = createClient(access)
  const ask = async (query: string) => {
    const { data } = await (await client.query({ query, format: 'JSONCompact' })).json<unknown[]>()
    return data
  }
  const cpuOfEngine = () => cpuSeconds(engine.pid() ?? process.pid)
  const measured: Measured[] = []
  const nowMs = Date.now()
  for (const { title, variables, rows: sections, ...time } of BOARDS) {
    const values: Record<string, Values> = {}
    const range = { ...rangeOf(time, nowMs), variables: values }
    for (const { name, sql, isSingle } of variables) {
      const [first] = await ask(expand(sql, { ...range, stepSeconds: 60 }))
      values[name] = isSingle === true ? [String(first?.[0])] : 'all'
    }
    for (const panel of sections.flatMap(section => section.panels)) {
      for (const query of panel.queries) {
        if (query.source !== 'clickhouse') continue
        const seconds = (range.toMs - range.fromMs) / 1000
        const stepSeconds = Math.max(secondsOf(panel.stepMin ?? '1s'), Math.ceil(seconds / POINTS))
        const sql = expand(query.sql, { ...range, stepSeconds })
        const times: number[] = []
        let rows = 0
        const cpuBefore = cpuOfEngine()
        for (let run = 0; run < RUNS; run++) {
          const startedAt = performance.now()
          rows = (await ask(sql)).length
          times.push(performance.now() - startedAt)
        }
        const cpuMs = (1000 * (cpuOfEngine() - cpuBefore)) / RUNS
        measured.push({ board: title, panel: panel.title, times, cpuMs, rows })
      }
    }
  }
  await client.close()
  return measured
}
