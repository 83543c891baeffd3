/**
 * What callers choose and gateways pass on: methods, paths, hosts, ids, names, and sizes that are only claimed. A record
 * holds the begin of what is too long and leaves unknown what no call can be, or whoever calls could decide, by a long
 * header, that nobody counts the call.
 */
import {
  DECISION_ID_CHARACTERS_MAX,
  DURATION_MS_MAX,
  LABEL_VALUE_CHARACTERS_MAX,
  TEXT_CHARACTERS_MAX,
} from '../call-record.ts'
import type { UncheckedRecord } from './record.ts'
import { OTHER_ROUTES } from './route.ts'

const TEXTS = [
  ...(['requestId', 'tenant', 'consumer', 'gateway', 'method', 'host', 'service'] as const),
  ...(['provider', 'model', 'providerKey'] as const),
]
const COUNTS = [
  ...(['requestBytes', 'responseBytes', 'inputTokens', 'cachedInputTokens', 'outputTokens'] as const),
  ...(['totalTokens', 'costMicros'] as const),
]
const DURATIONS = ['latencyMs', 'upstreamLatencyMs'] as const

/** Cuts it in a record that failed its check; `callId` stays that of the whole text. */
export function withoutExcess(record: UncheckedRecord): UncheckedRecord {
  for (const field of TEXTS) record[field] = cut(record[field], TEXT_CHARACTERS_MAX)
  for (const field of COUNTS) record[field] = upTo(record[field], Number.MAX_SAFE_INTEGER)
  for (const field of DURATIONS) record[field] = upTo(record[field], DURATION_MS_MAX)
  record.decisionId = cut(record.decisionId, DECISION_ID_CHARACTERS_MAX)
  const { route, labels } = record
  if (typeof route === 'string' && route.length > TEXT_CHARACTERS_MAX) record.route = OTHER_ROUTES
  if (typeof labels === 'object' && labels !== null) record.labels = cutLabels(labels)
  return record
}

const cut = (value: unknown, charactersMax: number) =>
  typeof value === 'string' ? value.slice(0, charactersMax) : value

const upTo = (value: unknown, max: number) => (typeof value === 'number' && value > max ? null : value)

const cutLabels = (labels: object) =>
  Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, cut(value, LABEL_VALUE_CHARACTERS_MAX)]))
