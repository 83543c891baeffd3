/** The options by which commands choose among rejections, as the query of a request. */
import { REJECTION_REASONS } from '../collector/call-record.ts'
import { type Command, type Invocation, UsageError } from './command.ts'

export const FILTER_OPTIONS: Command['options'] = {
  source: { type: 'string', value: 'NAME', description: 'Only those that this source brought.' },
  reason: { type: 'string', value: 'REASON', description: `Only these: ${REJECTION_REASONS.join(', ')}.` },
}

/** Throws `UsageError` for a reason that there is not. */
export function filterOf(invocation: Invocation): URLSearchParams {
  const query = new URLSearchParams()
  const [source, reason] = [invocation.text('source'), invocation.text('reason')]
  if (source !== undefined) query.set('source', source)
  if (reason !== undefined) {
    if (!REJECTION_REASONS.some(known => known === reason))
      throw new UsageError(`--reason is one of ${REJECTION_REASONS.join(', ')}`)
    query.set('reason', reason)
  }
  return query
}
