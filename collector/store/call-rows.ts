/** A call record as a row of `calls`. */
import assert from 'node:assert/strict'
import { type CallRecord, parseCallRecord } from '../call-record.ts'
import type { InsertTarget } from './insert.ts'
import { type IdentifiedRows, toLine } from './topic-rows.ts'

/** `label_1` and `label_2`. */
const LABEL_COLUMNS_MAX = 2

/** In the order in which `toCallRow` answers them. */
const target: InsertTarget = {
  table: 'calls',
  columns: [
    { name: 'log_offset', type: 'UInt64' },
    { name: 'call_id', type: 'UUID' },
    { name: 'request_id', type: 'String' },
    { name: 'started_at', type: 'instant' },
    { name: 'arrived_at', type: 'instant' },
    { name: 'tenant', type: 'String' },
    { name: 'consumer', type: 'String' },
    { name: 'gateway', type: 'String' },
    { name: 'dialect', type: 'String' },
    { name: 'method', type: 'String' },
    { name: 'host', type: 'String' },
    { name: 'route', type: 'String' },
    { name: 'service', type: 'String' },
    { name: 'provider', type: 'String' },
    { name: 'model', type: 'String' },
    { name: 'provider_key', type: 'String' },
    { name: 'status', type: 'Nullable(UInt16)' },
    { name: 'outcome', type: 'String' },
    { name: 'latency_ms', type: 'Nullable(Float32)' },
    { name: 'upstream_latency_ms', type: 'Nullable(Float32)' },
    { name: 'request_bytes', type: 'Nullable(UInt64)' },
    { name: 'response_bytes', type: 'Nullable(UInt64)' },
    { name: 'input_tokens', type: 'Nullable(UInt64)' },
    { name: 'cached_input_tokens', type: 'Nullable(UInt64)' },
    { name: 'output_tokens', type: 'Nullable(UInt64)' },
    { name: 'total_tokens', type: 'Nullable(UInt64)' },
    { name: 'cost_micros', type: 'Nullable(UInt64)' },
    { name: 'upstream_limits', type: 'String' },
    { name: 'decision_id', type: 'String' },
    { name: 'client_ip', type: 'String' },
    { name: 'labels', type: 'Labels' },
    { name: 'label_1', type: 'String' },
    { name: 'label_2', type: 'String' },
  ],
}

/** Rows of topic `calls`; `labelColumns` names the labels (at most two) that have columns of their own. */
export const createCallRows = (labelColumns: readonly string[]): IdentifiedRows<CallRecord> => {
  assert(labelColumns.length <= LABEL_COLUMNS_MAX, 'more labels than columns for them')
  const [label1, label2] = labelColumns
  return {
    target,
    keyOf: ({ callId, tenant, consumer, startedAtMs }) => ({ id: callId, tenant, consumer, startedAtMs }),
    parse: parseCallRecord,
    toLine: (record, offset) => toLine(toCallRow(record, offset, label1, label2)),
  }
}

const toCallRow = (record: CallRecord, offset: number, label1?: string, label2?: string): unknown[] => [
  offset,
  record.callId,
  record.requestId ?? '',
  record.startedAtMs,
  record.arrivedAtMs,
  record.tenant ?? '',
  record.consumer ?? '',
  record.gateway ?? '',
  record.dialect,
  record.method ?? '',
  record.host ?? '',
  record.route ?? '',
  record.service ?? '',
  record.provider ?? '',
  record.model ?? '',
  record.providerKey ?? '',
  record.status,
  record.outcome,
  record.latencyMs,
  record.upstreamLatencyMs,
  record.requestBytes,
  record.responseBytes,
  record.inputTokens,
  record.cachedInputTokens,
  record.outputTokens,
  record.totalTokens,
  record.costMicros,
  record.upstreamLimits === null ? '' : JSON.stringify(record.upstreamLimits),
  record.decisionId ?? '',
  record.clientIp ?? '',
  record.labels,
  labelOf(record, label1),
  labelOf(record, label2),
]

const labelOf = ({ labels }: CallRecord, name: string | undefined): string =>
  name !== undefined && Object.hasOwn(labels, name) ? (labels[name] ?? '') : ''
