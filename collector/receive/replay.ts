/** Inputs of rejections through the present decoder: what could not be a call once may be one now, and the same one. */
import type { CallRecord, KeptInput, RejectionReason } from '../call-record.ts'
import { DialectError } from '../normalize/draft.ts'
import { isRejection, type Normalizer } from '../normalize/normalize.ts'
import { otlp } from '../normalize/otlp.ts'
import { NOT_KEPT } from '../normalize/redact.ts'
import { decodeInput } from './decode-lines.ts'
import type { Sources } from './sources.ts'

export type Replayed =
  | { kind: 'call'; record: CallRecord }
  /** It is no call, and need not be one. */
  | { kind: 'no_call' }
  | { kind: 'rejected'; reason: RejectionReason; message: string }
  /** Neither the config nor a dialect has that name any more. */
  | { kind: 'source_unknown' }

const UNTOLD: Replayed = {
  kind: 'rejected',
  reason: 'unreadable',
  message: 'What told the call stood in a body, which is not kept: have its sender send it again.',
}

export interface ReplayMeans {
  sources: Pick<Sources, 'find'>
  normalizer: Normalizer
  now: () => number
}

/**
 * The record has the id that the original has when it is sent again. Credentials of the input are their fingerprints
 * already, prompts and completions are gone, and with them what only they told. Never throws.
 */
export function replayInput(kept: KeptInput, { sources, normalizer, now }: ReplayMeans): Replayed {
  const { input, restriction, shiftMs, fileStem, columns, gateway } = kept
  const source = sources.find(kept.source)
  if (source === undefined) return { kind: 'source_unknown' }
  const { tenant, timezone } = source
  // What OpenTelemetry's exporters send is read as theirs, whatever the dialect of the source is.
  const dialect = kept.dialect === otlp.name ? otlp : source.dialect
  try {
    const decoded = decodeInput(dialect, input, { fileStem, columns, timezone })
    if (decoded.kind === 'skip') return input.includes(NOT_KEPT) ? UNTOLD : { kind: 'no_call' }
    const result = normalizer.normalize(
      decoded,
      {
        ...{ source: source.name, dialect: dialect.name, gateway, tenant, restriction, shiftMs, fileStem, columns },
        arrivedAtMs: now(),
        replayedId: kept.callId,
        keyAt: () => kept.callId,
        inputAt: () => input,
      },
      0,
    )
    return isRejection(result)
      ? { kind: 'rejected', reason: result.reason, message: result.message }
      : { kind: 'call', record: result }
  } catch (error) {
    if (error instanceof DialectError) return { kind: 'rejected', reason: 'unreadable', message: error.message }
    throw error
  }
}
