/** Call records for the tests of the store. */
import { randomUUID } from 'node:crypto'
import type { CallRecord } from '../../../collector/call-record.ts'
import type { LogEntry } from '../../../collector/log/call-log.ts'

/** A plausible call that began a moment ago; `changes` overrides what a test cares about. */
export const makeCall = (changes: Partial<CallRecord> = {}): CallRecord => {
  const nowMs = Date.now()
  return {
    callId: randomUUID(),
    requestId: null,
    startedAtMs: nowMs - 1_000,
    arrivedAtMs: nowMs,
    tenant: 'acme',
    consumer: 'app',
    gateway: 'edge',
    dialect: 'canonical',
    method: 'POST',
    host: 'api.example.com',
    route: '/v1/chat/completions',
    service: 'llm',
    provider: 'openai',
    model: 'gpt-5',
    providerKey: 'main',
    status: 200,
    outcome: 'ok',
    latencyMs: 812.5,
    upstreamLatencyMs: 800,
    requestBytes: 1_200,
    responseBytes: 3_400,
    inputTokens: 100,
    cachedInputTokens: 0,
    outputTokens: 50,
    totalTokens: 150,
    costMicros: 420,
    upstreamLimits: null,
    decisionId: null,
    clientIp: '10.0.0.0',
    labels: { team: 'search' },
    ...changes,
  }
}

export const toEntry = (call: CallRecord): LogEntry => ({ key: call.callId, value: JSON.stringify(call) })
