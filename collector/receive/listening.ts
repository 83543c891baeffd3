/** What the ways in have in common that the collector opens by itself: what they are given, and what they promise. */
import type { Logger } from 'pino'
import { deliveryRefused } from '../events.ts'
import type { CallLog } from '../log/call-log.ts'
import type { Acceptance } from './accept.ts'
import type { Arrival, Intake } from './intake.ts'
import { patiently } from './patience.ts'
import type { RawBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'

export interface ListenDeps {
  intake: Pick<Intake, 'take'>
  log: Pick<CallLog, 'partitions'>
  /** Folder of what is remembered. */
  dir: string
  logger: Logger
  now: () => number
  /** Why calls of the source do not come in, or `null` when they do. */
  report(problem: string | null): void
  /** The same where nothing is wrong yet: what it reads may still come. */
  reportWaiting(problem: string): void
  /** The way in ends when it is aborted. */
  signal: AbortSignal
}

const PROBLEMS_NAMED_MAX = 10

/** All in one; of thousands, as there may be files, the first ones and how many more there are. */
export function inOne(problems: readonly string[]): string {
  const more = problems.length - PROBLEMS_NAMED_MAX
  return [...problems.slice(0, PROBLEMS_NAMED_MAX), ...(more > 0 ? [`and ${more} more`] : [])].join('; ')
}

/**
 * Receives calls of one source. Resolves when the signal is aborted and nothing is under way any more; rejects when it
 * cannot go on. Nothing of it is left open then.
 */
export type Listen<Options> = (options: Options, source: CallSource, deps: ListenDeps) => Promise<void>

/** Takes the batch when the log allows it. Rejects with the log's error when there is no waiting any more. */
export async function takePatiently(
  { intake, logger, report, signal }: ListenDeps,
  source: CallSource,
  batch: RawBatch,
  arrival: Omit<Arrival, 'restriction'>,
): Promise<Acceptance> {
  let hasWaited = false
  const acceptance = await patiently(() => intake.take(source, batch, { ...arrival, restriction: null }), {
    patienceMs: Number.POSITIVE_INFINITY,
    signal,
    onWait(reason) {
      hasWaited = true
      deliveryRefused(logger, { receiver: arrival.receiver, reason })
      report(reason)
    },
  })
  if (hasWaited) report(null)
  return acceptance
}
