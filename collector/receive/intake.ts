/** Where all ways into the running collector meet: a batch of a source is accepted, counted, and told of. */
import type { Logger } from 'pino'
import type { RejectionReason } from '../call-record.ts'
import { callsReceived, type Receiver } from '../events.ts'
import type { CallLog } from '../log/call-log.ts'
import type { Normalizer } from '../normalize/normalize.ts'
import { type Acceptance, acceptBatch, type Origin, reasonCounts } from './accept.ts'
import type { RawBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'

/** What is special about one delivery. */
export interface Arrival extends Pick<Origin, 'restriction' | 'keyAt'> {
  receiver: Receiver
}

/** What came of a source, or of all of them, since the start of the process. */
interface Received {
  accepted: number
  /** Inputs that are no calls and need not be. */
  skipped: number
  rejected: Partial<Record<RejectionReason, number>>
  /** When the last call was accepted, Unix milliseconds. */
  lastCallAtMs: number | null
}

export interface Intake {
  /** Resolves when the batch is durable; rejects as `acceptBatch` does. */
  take(source: CallSource, batch: RawBatch, arrival: Arrival): Promise<Acceptance>
  received(): Received
  receivedFrom(source: string): Received
}

export interface IntakeDeps {
  log: Pick<CallLog, 'append'>
  normalizer: Normalizer
  logger: Logger
  now: () => number
}

export function createIntake({ log, normalizer, logger, now }: IntakeDeps): Intake {
  const total = nothingReceived()
  const bySource = new Map<string, Received>()
  const of = (name: string): Received => {
    const known = bySource.get(name)
    if (known !== undefined) return known
    const fresh = nothingReceived()
    bySource.set(name, fresh)
    return fresh
  }
  return {
    async take(source, batch, { receiver, restriction, keyAt }) {
      const { dialect, gateway, tenant } = source
      const acceptance = await acceptBatch({ log, normalizer }, batch, {
        ...{ source: source.name, dialect: dialect.name, gateway, tenant, restriction, keyAt },
        arrivedAtMs: now(),
        shiftMs: 0,
      })
      const { accepted, skipped } = acceptance
      const rejected = reasonCounts(acceptance.rejected)
      callsReceived(logger, { receiver, dialect: dialect.name, accepted, rejected })
      for (const received of [total, of(source.name)]) add(received, { accepted, skipped, rejected, atMs: now() })
      return acceptance
    },
    received: () => copy(total),
    receivedFrom: name => copy(bySource.get(name) ?? nothingReceived()),
  }
}

const nothingReceived = (): Received => ({ accepted: 0, skipped: 0, rejected: {}, lastCallAtMs: null })
const copy = (received: Received): Received => ({ ...received, rejected: { ...received.rejected } })

function add(
  received: Received,
  more: { accepted: number; skipped: number; rejected: ReadonlyMap<RejectionReason, number>; atMs: number },
): void {
  received.accepted += more.accepted
  received.skipped += more.skipped
  for (const [reason, count] of more.rejected) received.rejected[reason] = (received.rejected[reason] ?? 0) + count
  if (more.accepted > 0) received.lastCallAtMs = more.atMs
}
