/**
 * What every store must do for us, whether its engine is our child or a server. The suite speaks to it only through
 * `Store`; `open` makes one that is migrated.
 */
import { randomUUID } from 'node:crypto'
import { type ClientRequest, request } from 'node:http'
import fc from 'fast-check'
import pino from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CallRecord, OUTCOMES } from '../../collector/call-record.ts'
import type { LogPartition } from '../../collector/log/call-log.ts'
import { createCallRows } from '../../collector/store/call-rows.ts'
import { type Fence, fenceInsert, renewFence, takeFence } from '../../collector/store/fence.ts'
import { type InsertPiece, insertRows } from '../../collector/store/insert.ts'
import { migrate } from '../../collector/store/migrate.ts'
import type { Store } from '../../collector/store/open.ts'
import { readStoredEnd, readStoredOffsets } from '../../collector/store/positions.ts'
import { makeCall } from '../collector/store/make-call.ts'

/** A stalled insert can be killed only when the server has given up waiting for its body: 8 s here, 30 by default. */
const STALL_MS_MAX = 60_000

interface ContractStore {
  store: Store
  /** For requests that the client would not make. */
  headers: Record<string, string>
  close(): Promise<void>
}

export const storeContract = (open: () => Promise<ContractStore>): void => {
  let opened: ContractStore
  let store: Store
  const log = pino({ level: 'silent' })
  const callRows = createCallRows(['team'])
  const insertCalls = async (partition: LogPartition, calls: CallRecord[], fence = takeFence(store, partition)) =>
    insertRows(store, callRows.target, [toPiece(partition, await fence, calls)])
  const toPiece = (partition: LogPartition, fence: Fence, calls: CallRecord[]): InsertPiece => {
    return { partition, fence, lines: calls.map((call, offset) => callRows.toLine(call, offset)) }
  }
  const query = async <T>(sql: string, params: Record<string, unknown> = {}): Promise<T[]> => {
    const result = await store.client.query({ query: sql, query_params: params, format: 'JSONEachRow' })
    return (await result.json()) as T[]
  }
  const countOf = async ({ logId }: LogPartition) => {
    const [row] = await query<{ n: number }>('SELECT count() AS n FROM calls WHERE log_id = {logId:String}', { logId })
    return row?.n
  }
  const newPartition = (): LogPartition => ({ topic: 'calls', logId: randomUUID(), partition: 0 })

  beforeAll(async () => {
    opened = await open()
    store = opened.store
  })
  afterAll(() => opened?.close())

  describe('migrations', () => {
    test('are applied once, also when several roles start together', async () => {
      expect(await Promise.all([migrate(store, { log }), migrate(store, { log })])).toEqual([[], []])
    })
    test('may run twice, statement by statement: a crash before the record does no harm', async () => {
      const [{ n } = { n: 0 }] = await query<{ n: number }>('SELECT uniqExact(name) AS n FROM schema_migrations')
      await store.client.command({ query: 'TRUNCATE TABLE schema_migrations' })
      expect(await migrate(store, { log })).toHaveLength(n)
    })
  })

  describe('rows', () => {
    test('hold what any valid record holds', async () => {
      const partition = newPartition()
      const calls = fc.sample(anyCall, 300)
      await insertCalls(partition, calls)
      const rows = await query<Record<string, unknown>>(
        `SELECT *, toUnixTimestamp64Milli(started_at) AS started_ms, toUnixTimestamp64Milli(arrived_at) AS arrived_ms,
           toUnixTimestamp(minute) AS minute_s, toUnixTimestamp(hour) AS hour_s
         FROM calls WHERE log_id = {logId:String} ORDER BY log_offset`,
        { logId: partition.logId },
      )
      expect(rows).toHaveLength(calls.length)
      for (const [index, call] of calls.entries()) {
        const row = rows[index]
        const latency_ms = typeof row?.latency_ms === 'number' ? Math.fround(row.latency_ms) : null
        expect({ ...row, latency_ms }).toMatchObject(toExpectedRow(call))
      }
    })
    test('that are equal are not taken for one', async () => {
      const partition = newPartition()
      const calls = [makeCall()]
      const fence = takeFence(store, partition)
      await insertCalls(partition, calls, fence)
      await insertCalls(partition, calls, fence)
      expect(await countOf(partition)).toBe(2)
    })
    test('can be asked for by their positions', async () => {
      const partition = newPartition()
      expect(await readStoredEnd(store, partition)).toBe(0)
      await insertCalls(partition, [makeCall(), makeCall(), makeCall()])
      expect(await readStoredEnd(store, partition)).toBe(3)
      expect(await readStoredOffsets(store, partition, 1, 3)).toEqual(new Set([1, 2]))
      expect(await readStoredEnd(store, { ...partition, logId: 'another life' })).toBe(0)
    })
    test('answer 64-bit sums as numbers', async () => {
      const partition = newPartition()
      await insertCalls(partition, [makeCall({ totalTokens: 2 ** 40 })])
      const sql = 'SELECT sum(total_tokens) AS tokens FROM calls WHERE log_id = {logId:String}'
      expect(await query(sql, { logId: partition.logId })).toEqual([{ tokens: 2 ** 40 }])
    })
  })

  describe('the fence', () => {
    test('stops the writer that was there before, and only for its partition', async () => {
      const partition = newPartition()
      const other = { ...newPartition(), partition: 1 }
      const [first, elsewhere] = await Promise.all([takeFence(store, partition), takeFence(store, other)])
      const second = await takeFence(store, partition)
      await expect(insertCalls(partition, [makeCall()], Promise.resolve(first))).rejects.toMatchObject({
        code: 'STORE_FENCED',
      })
      await expect(renewFence(store, first)).rejects.toMatchObject({ code: 'STORE_FENCED' })
      await insertCalls(partition, [makeCall()], Promise.resolve(second))
      await insertCalls(other, [makeCall()], Promise.resolve(elsewhere))
      expect([await countOf(partition), await countOf(other)]).toEqual([1, 1])
    })
    test('can be renewed by whoever holds it, even if a renewal was not seen to succeed', async () => {
      const partition = { ...newPartition(), partition: 5 }
      const first = await takeFence(store, partition)
      await takeFence(store, partition, first.owner)
      await expect(insertCalls(partition, [makeCall()], Promise.resolve(first))).rejects.toMatchObject({
        code: 'STORE_FENCED',
      })
      await insertCalls(partition, [makeCall()], renewFence(store, first))
      expect(await countOf(partition)).toBe(1)
    })
    test('is held by exactly one of several who take it at once', async () => {
      const partition = { ...newPartition(), partition: 2 }
      const fences = await Promise.all(Array.from({ length: 5 }, () => takeFence(store, partition)))
      const inserts = fences.map(fence => insertCalls(partition, [makeCall()], Promise.resolve(fence)))
      const settled = await Promise.allSettled(inserts)
      expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(await countOf(partition)).toBe(1)
    })
    test('holds for all partitions that share an insert: when one is lost, nothing is written', async () => {
      const first = { ...newPartition(), partition: 6 }
      const second = { ...newPartition(), partition: 7 }
      const fences = { first: await takeFence(store, first), second: await takeFence(store, second) }
      const pieces = () => [
        toPiece(first, fences.first, [makeCall(), makeCall()]),
        toPiece(second, fences.second, [makeCall()]),
      ]
      await insertRows(store, callRows.target, pieces())
      expect([await countOf(first), await countOf(second)]).toEqual([2, 1])
      fences.second = await takeFence(store, second)
      await insertRows(store, callRows.target, pieces())
      expect([await countOf(first), await countOf(second)]).toEqual([4, 2])
      await takeFence(store, second)
      await expect(insertRows(store, callRows.target, pieces())).rejects.toMatchObject({ code: 'STORE_FENCED' })
      expect([await countOf(first), await countOf(second)]).toEqual([4, 2])
      const positions = await query<{ partition: number; offsets: number[] }>(
        `SELECT log_partition AS partition, arraySort(groupArray(log_offset)) AS offsets FROM calls
         WHERE log_id IN {logIds:Array(String)} GROUP BY log_partition ORDER BY log_partition`,
        { logIds: [first.logId, second.logId] },
      )
      expect(positions).toEqual([
        { partition: 6, offsets: [0, 0, 1, 1] },
        { partition: 7, offsets: [0, 0] },
      ])
    })
    test.each([
      { name: 'too short to be seen', partition: 3, bytes: 10_000 },
      { name: 'long enough to be seen', partition: 4, bytes: 600_000 },
    ])(
      'outlives an insert that stalled in mid-body and comes back: $name',
      async ({ partition: number, bytes }) => {
        const partition = { ...newPartition(), partition: number }
        const lines = Array.from({ length: 2_000 }, (_, offset) => `${callRows.toLine(makeCall(), offset)}\n`)
        const body = Buffer.from(lines.join(''))
        const neighbour = { ...partition, partition: 10 + number }
        const stalled = beginInsert(partition, [await takeFence(store, neighbour), await takeFence(store, partition)])
        stalled.request.write(body.subarray(0, bytes))
        await new Promise(resolve => setTimeout(resolve, 300))
        const fence = await takeFence(store, partition)
        stalled.request.end(body.subarray(bytes))
        await stalled.ended
        expect(await countOf(partition)).toBe(0)
        await insertCalls(partition, [makeCall()], Promise.resolve(fence))
        expect(await countOf(partition)).toBe(1)
      },
      STALL_MS_MAX,
    )
  })

  /** The insert that `insertRows` makes, by hand, so that its body can stall. */
  const beginInsert = (partition: LogPartition, fences: readonly Fence[]) => {
    const { condition, params, queryId } = fenceInsert(store, fences)
    const structure = callRows.target.columns.map(({ name, type }) =>
      type === 'instant' ? `${name} Int64` : `${name} ${type === 'Labels' ? 'Map(String, String)' : type}`,
    )
    const url = new URL(store.url)
    url.searchParams.set('database', store.database)
    url.searchParams.set('query_id', queryId)
    for (const [name, value] of Object.entries(params)) url.searchParams.set(`param_${name}`, toParameter(value))
    url.searchParams.set(
      'query',
      `INSERT INTO calls (call_id, started_at, arrived_at, log_id, log_offset)
        SELECT call_id, fromUnixTimestamp64Milli(started_at), fromUnixTimestamp64Milli(arrived_at),
          '${partition.logId}', log_offset
        FROM input('${structure.join(', ')}') WHERE ${condition} FORMAT JSONCompactEachRow`,
    )
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    const started: ClientRequest = request(url, { method: 'POST', headers: opened.headers })
    started.on('response', response => response.resume().on('close', resolve))
    started.on('error', () => resolve())
    return { request: started, ended }
  }
}

/** As the interface of ClickHouse reads it from a URL. */
const toParameter = (value: string | readonly (string | number)[]): string =>
  typeof value === 'string'
    ? value
    : `[${value.map(item => (typeof item === 'string' ? `'${item}'` : item)).join(',')}]`

const text = fc.option(fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }), { nil: null })
const count = fc.option(fc.oneof(fc.nat(), fc.constant(Number.MAX_SAFE_INTEGER)), { nil: null })
const instant = fc.integer({ min: 0, max: 4_102_444_800_000 })
const latency = fc.option(fc.float({ min: 0, max: 2 ** 33, noNaN: true }), { nil: null })
/** What is not well formed cannot be kept, so it is not compared: see `toLine`. */
const anyCall: fc.Arbitrary<CallRecord> = fc.record({
  callId: fc.uuid(),
  requestId: text,
  startedAtMs: instant,
  // One insert makes a part for each day of arrival; all days of a century would be a hundred thousand.
  arrivedAtMs: fc.integer({ min: Date.now() - 86_400_000, max: Date.now() }),
  tenant: text,
  consumer: text,
  gateway: text,
  dialect: fc.string({ minLength: 1, maxLength: 20 }),
  method: text,
  host: text,
  route: text,
  service: text,
  provider: text,
  model: text,
  providerKey: text,
  status: fc.option(fc.integer({ min: 0, max: 999 }), { nil: null }),
  outcome: fc.constantFrom(...OUTCOMES),
  latencyMs: latency,
  upstreamLatencyMs: latency,
  requestBytes: count,
  responseBytes: count,
  inputTokens: count,
  cachedInputTokens: count,
  outputTokens: count,
  totalTokens: count,
  costMicros: count,
  upstreamLimits: fc.constantFrom(null, {
    units: { requests: { limit: 10, remaining: null, resetAtMs: 5 } },
    retryAfterMs: null,
  }),
  decisionId: text,
  clientIp: text,
  labels: fc.dictionary(fc.string({ maxLength: 10 }), fc.string({ unit: 'binary', maxLength: 10 }), { maxKeys: 5 }),
})

const toExpectedRow = (call: CallRecord): Record<string, unknown> => ({
  call_id: call.callId,
  request_id: call.requestId ?? '',
  started_ms: call.startedAtMs,
  arrived_ms: call.arrivedAtMs,
  minute_s: Math.floor(call.startedAtMs / 60_000) * 60,
  hour_s: Math.floor(call.startedAtMs / 3_600_000) * 3_600,
  tenant: call.tenant ?? '',
  consumer: call.consumer ?? '',
  gateway: call.gateway ?? '',
  dialect: call.dialect,
  method: call.method ?? '',
  host: call.host ?? '',
  route: call.route ?? '',
  service: call.service ?? '',
  provider: call.provider ?? '',
  model: call.model ?? '',
  provider_key: call.providerKey ?? '',
  status: call.status,
  outcome: call.outcome,
  latency_ms: call.latencyMs,
  request_bytes: call.requestBytes,
  response_bytes: call.responseBytes,
  input_tokens: call.inputTokens,
  cached_input_tokens: call.cachedInputTokens,
  output_tokens: call.outputTokens,
  total_tokens: call.totalTokens,
  cost_micros: call.costMicros,
  upstream_limits: call.upstreamLimits === null ? '' : JSON.stringify(call.upstreamLimits),
  decision_id: call.decisionId ?? '',
  client_ip: call.clientIp ?? '',
  labels: call.labels,
  label_1: call.labels.team ?? '',
  label_2: '',
})
