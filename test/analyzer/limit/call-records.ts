/** Call records for tests, and what else a settler needs. */
import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import type { CallRecord } from '../../../collector/call-record.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { testQuota } from '../quotas.ts'

export const silent = pino({ level: 'silent' })

/** A quota of tokens by consumer and hour unless said otherwise. */
export const quota = (fields: Record<string, unknown> = {}, labels: readonly string[] = []): Quota =>
  testQuota({ name: 'q', unit: 'total_tokens', per: ['consumer'], ...fields }, labels)

export function callRecord(fields: Partial<CallRecord> = {}): CallRecord {
  return {
    callId: randomUUID(),
    requestId: null,
    startedAtMs: Date.now(),
    arrivedAtMs: Date.now(),
    tenant: 'acme',
    consumer: 'web',
    gateway: 'kong',
    dialect: 'canonical',
    method: null,
    host: null,
    route: null,
    service: null,
    provider: null,
    model: null,
    providerKey: null,
    status: 200,
    outcome: 'ok',
    latencyMs: null,
    upstreamLatencyMs: null,
    requestBytes: null,
    responseBytes: null,
    inputTokens: null,
    cachedInputTokens: null,
    outputTokens: null,
    totalTokens: 1,
    costMicros: null,
    upstreamLimits: null,
    decisionId: null,
    clientIp: null,
    labels: {},
    ...fields,
  }
}

export const appendCalls = (log: CallLog, records: readonly CallRecord[]) =>
  log.append(
    'calls',
    records.map(record => ({ key: record.callId, value: JSON.stringify(record) })),
  )

export const openLog = (dir: string): Promise<CallLog> =>
  openCallLog(
    { kind: 'embedded', retentionSeconds: 3600, sizeBytesMax: 2 ** 28 },
    { dir, log: silent, onLoss: () => undefined },
  )
