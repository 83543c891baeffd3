/**
 * Text that callers choose and gateways pass on: paths, hosts, ids, names. A record holds the begin of what is too long, or
 * whoever calls could decide, by a long header, that nobody counts the call.
 */
import { DECISION_ID_CHARACTERS_MAX, LABEL_VALUE_CHARACTERS_MAX, TEXT_CHARACTERS_MAX } from '../call-record.ts'
import type { UncheckedRecord } from './record.ts'
import { OTHER_ROUTES } from './route.ts'

const CHOSEN = ['requestId', 'consumer', 'host', 'model'] as const

/** Cuts it in a record that failed its check; `callId` stays that of the whole text. */
export function withoutExcess(record: UncheckedRecord): UncheckedRecord {
  for (const field of CHOSEN) record[field] = cut(record[field], TEXT_CHARACTERS_MAX)
  record.decisionId = cut(record.decisionId, DECISION_ID_CHARACTERS_MAX)
  const { route, labels } = record
  if (typeof route === 'string' && route.length > TEXT_CHARACTERS_MAX) record.route = OTHER_ROUTES
  if (typeof labels === 'object' && labels !== null) record.labels = cutLabels(labels)
  return record
}

const cut = (value: unknown, charactersMax: number) =>
  typeof value === 'string' ? value.slice(0, charactersMax) : value

const cutLabels = (labels: object) =>
  Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, cut(value, LABEL_VALUE_CHARACTERS_MAX)]))
