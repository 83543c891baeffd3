/** Where alerts are told. One interface, a file each for what there is. */
import type { Alert } from './alert.ts'

/** What is told of one alert. */
export interface Notice extends Omit<Alert, 'told' | 'toldBefore' | 'untold'> {
  /** Equal when the same is told again, after an answer that never came. */
  id: string
}

export interface Message {
  /** Equal when the same notices are sent again. */
  id: string
  sentAtMs: number
  /** The worst first. Empty in a test of the channel. */
  notices: readonly Notice[]
}

export const CHANNEL_KINDS = ['webhook', 'slack', 'email'] as const

export interface Channel {
  readonly name: string
  readonly kind: (typeof CHANNEL_KINDS)[number]
  /** Resolves when the message has been accepted. Throws `ChannelError`, and gives up when the signal comes. */
  send(message: Message, signal: AbortSignal): Promise<void>
}

/** A message was not accepted; its text names no address, as those may hold secrets. */
export class ChannelError extends Error {
  readonly code = 'ALERT_UNDELIVERED'
  /** Of the problem that a test of the channel answers. */
  readonly statusCode = 502
  /** By what is in the message, or by its size: one with fewer alerts, or with others, may be accepted. */
  readonly isRefused: boolean
  /** It said to come again no sooner than after so long; 0: it said nothing. */
  readonly retryAfterMs: number

  constructor(
    channel: string,
    reason: string,
    {
      cause,
      isRefused = false,
      retryAfterMs = 0,
    }: { cause?: unknown; isRefused?: boolean; retryAfterMs?: number } = {},
  ) {
    super(`The channel ${channel} did not accept the message: ${reason}.`, { cause })
    this.name = 'ChannelError'
    this.isRefused = isRefused
    this.retryAfterMs = retryAfterMs
  }
}
