/** A message by HTTP POST, for the channels that take one. */
import Type from 'typebox'
import { ChannelError } from './channel.ts'

/** Bad request, content too large, content that cannot be processed: what is said of a message, and not of the receiver. */
const REFUSALS: readonly number[] = [400, 413, 422]

/** The address of a channel. It may hold a secret, so it is never shown. One with a login `fetch` would not ask. */
export const addressOf = (description: string) =>
  Type.String({ pattern: '^https?://[^\\s@/?#]+([/?#][^\\s]*)?$', maxLength: 2_048, writeOnly: true, description })

/** Resolves when the answer was 2xx. Throws `ChannelError`. Redirections are not followed: what is signed is for one receiver. */
export async function post(
  channel: string,
  url: string,
  { body, headers, signal }: { body: string; headers: Record<string, string>; signal: AbortSignal },
): Promise<void> {
  let response: Response
  try {
    const all = { ...headers, 'content-type': 'application/json' }
    response = await fetch(url, { method: 'POST', body, headers: all, redirect: 'manual', signal })
  } catch (error) {
    throw new ChannelError(channel, reasonOf(error), { cause: error })
  }
  await response.body?.cancel()
  const { ok, status } = response
  const isRefused = REFUSALS.includes(status)
  if (!ok) throw new ChannelError(channel, `it answered ${status}`, { isRefused, retryAfterMs: retryAfterOf(response) })
}

/** Seconds from now, or a date (RFC 9110 section 10.2.3); 0 where it says neither. */
function retryAfterOf({ headers }: Response): number {
  const text = headers.get('retry-after') ?? ''
  const waitMs = Number.isNaN(Number(text)) ? Date.parse(text) - Date.now() : Number(text) * 1000
  return Math.max(0, waitMs || 0)
}

/** What the network said; the address stays out of it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'it did not answer in time'
  const { cause } = error
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : null
  return code === null ? 'it cannot be reached' : `it cannot be reached (${code})`
}
