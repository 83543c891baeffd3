/** Calls for the tests of the analyzer, written straight into the table as the collector's writer would. */
import type { Store } from '../../collector/store/open.ts'
import type { CallRow } from '../../collector/store/tables.ts'

/** What a test cares about of a call; the rest is filled in. */
export type TestCall = Partial<Omit<CallRow, 'started_at' | 'arrived_at'>> & {
  startedAtMs: number
  arrivedAtMs?: number
}

const MINUTE_MS = 60_000
let lastOffset = 0

/** Writes one batch; offsets of the log ascend from batch to batch. */
export async function storeCalls(store: Store, calls: readonly TestCall[]): Promise<void> {
  const values = calls.map(({ startedAtMs, arrivedAtMs, ...row }) => ({
    tenant: 'acme',
    consumer: 'app',
    outcome: 'ok',
    total_tokens: 1,
    ...row,
    call_id: crypto.randomUUID(),
    started_at: toInstant(startedAtMs),
    arrived_at: toInstant(arrivedAtMs ?? startedAtMs),
    log_id: row.log_id ?? 'log',
    log_partition: row.log_partition ?? 0,
    log_offset: ++lastOffset,
  }))
  await store.client.insert({ table: 'calls', values, format: 'JSONEachRow' })
}

/** An instant as ClickHouse reads it, UTC. */
const toInstant = (atMs: number): string => new Date(atMs).toISOString().replace('T', ' ').replace('Z', '')

/** Sums that the limiter handed on, one row each. */
export interface TestDecisions {
  quota: string
  subject: Record<string, string>
  atMs: number
  unit?: string
  allowed?: number
  spent?: number
  denied?: number
  deniedCost?: number
  logId?: string
}

/** Writes one batch into `decisions`. */
export async function storeDecisions(store: Store, sums: readonly TestDecisions[]): Promise<void> {
  const values = sums.map(({ quota, subject, atMs, ...sum }) => ({
    minute: toInstant(Math.floor(atMs / MINUTE_MS) * MINUTE_MS).slice(0, 19),
    quota,
    subject: JSON.stringify(subject),
    tenant: subject.tenant ?? '',
    consumer: subject.consumer ?? '',
    unit: sum.unit ?? 'requests',
    allowed: sum.allowed ?? sum.spent ?? 0,
    spent: sum.spent ?? 0,
    denied: sum.denied ?? 0,
    denied_cost: sum.deniedCost ?? 0,
    log_id: sum.logId ?? 'decisions',
    log_offset: ++lastOffset,
  }))
  await store.client.insert({ table: 'decisions', values, format: 'JSONEachRow' })
}
