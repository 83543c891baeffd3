/**
 * A client of the limiter for programs in TypeScript: it keeps connections alive, gives up at its deadline, and then does as
 * it was told. It stands alone, so that it can be copied; any runtime with `fetch` will do.
 */

export type Unit = 'requests' | 'input_tokens' | 'output_tokens' | 'total_tokens' | 'cost' | 'bytes' | 'errors'
export type Cost = Partial<Record<Unit | 'concurrent_requests', number>>

/** What is known of a call; `GET /openapi.json` of the limiter describes each field. */
export interface Call {
  tenant?: string
  /** A name, an id of a gateway, or a fingerprint; else `credential`. */
  consumer?: string
  /** The raw key, of which the limiter keeps the fingerprint only. */
  credential?: string | undefined
  /** `gateway`, `route`, `service`, `provider`, `model`, `providerKey`, or configured labels. */
  dimensions?: Readonly<Record<string, string | undefined>>
  /** What the call takes; `requests` is 1 where it is absent. */
  cost?: Cost
  clientIp?: string
  /** By which the record of the call finds its question. */
  requestId?: string
}

export interface ReservedCall extends Call {
  /** Most tokens that the call may generate. */
  maxTokens?: number
  /** How long to hold. */
  ttlSeconds?: number
  owner?: string
}

/** One quota that covers a call. Amounts are in its unit, instants Unix milliseconds. */
export interface QuotaState {
  quota: string
  unit: string
  /** `null` while the provider has not said it: nothing is denied. */
  limit: number | null
  used: number
  reserved: number
  /** `null` without a limit. */
  remaining: number | null
  resetAtMs: number
  /** `shadow` is watched and never denies. */
  enforcement: string
}

export interface Answer {
  allowed: boolean
  /** The limiter did not answer in time, and `whenAway` decided: there are no quotas. */
  isAway: boolean
  /** By the clock of the limiter, as are the other instants. */
  nowMs?: number
  /** The quota that is in the way, else the one of which least is left. */
  binding: string | null
  /** The same call passes after so long, if nobody else spends; `null`: now, or never. */
  retryAfterMs: number | null
  /** What of the caller is blocked, whatever quotas say. */
  blocked: string | null
  quotas: readonly QuotaState[]
}

export interface CheckAnswer extends Answer {
  /** To be logged as the call record's `decisionId`; `null` when nothing was spent. */
  decisionId: string | null
}

export interface ReservationAnswer extends Answer {
  /** To settle or release by, and to be logged as the call record's `decisionId`; `null` when nothing is held. */
  id: string | null
  expiresAtMs: number | null
}

export type Settled = 'settled' | 'already_settled' | 'unknown'

/** `AWAY` may be tried again; `REFUSED` says what is wrong with the question or the token. */
export class LimiterError extends Error {
  readonly code: 'AWAY' | 'REFUSED'
  readonly status: number | null

  constructor(code: LimiterError['code'], message: string, status: number | null, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LimiterError'
    this.code = code
    this.status = status
  }
}

export interface LimiterClientOptions {
  /** As `http://127.0.0.1:7412`. */
  url: string
  /** Of the scope `check`. */
  token: string
  /** How long an answer may take. */
  deadlineMs?: number
  /** What is answered while the limiter is away. */
  whenAway?: 'allow' | 'deny'
}

export interface LimiterClient {
  /** Decides and spends. Throws `LimiterError` `REFUSED` for a question that makes no sense. */
  check(call: Call): Promise<CheckAnswer>
  /** Decides and holds what the call may take. Throws as `check`. */
  reserve(call: ReservedCall): Promise<ReservationAnswer>
  /** Replaces what is held by what the call took, once. Throws `LimiterError`; `AWAY` may be tried again. */
  settle(id: string, cost?: Cost): Promise<Settled>
  /** Gives back what is held, once. Throws as `settle`. */
  release(id: string): Promise<Settled>
  /** Spends what a call has cost, in any case. Throws as `settle`; trying again may count twice. */
  record(call: Call): Promise<void>
}

const DEADLINE_MS = 100

export function createLimiterClient(options: LimiterClientOptions): LimiterClient {
  const { url, token, deadlineMs = DEADLINE_MS, whenAway = 'allow' } = options
  const base = url.replace(/\/+$/, '')
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }

  const ask = async <T>(path: string, question: object): Promise<T> => {
    const signal = AbortSignal.timeout(deadlineMs)
    let response: Response
    let body: string
    try {
      response = await fetch(base + path, { method: 'POST', headers, body: JSON.stringify(question), signal })
      body = await response.text()
      // Whoever else answers there says no JSON.
      if (response.ok) return JSON.parse(body)
    } catch (cause) {
      throw new LimiterError('AWAY', `The limiter does not answer at ${base}.`, null, { cause })
    }
    const code = response.status >= 500 ? 'AWAY' : 'REFUSED'
    throw new LimiterError(code, `The limiter answered ${response.status}: ${body}`, response.status)
  }
  const decide = async <T extends object, Absent extends object>(path: string, question: object, absent: Absent) => {
    try {
      return { ...(await ask<T>(path, question)), isAway: false }
    } catch (error) {
      if (!(error instanceof LimiterError) || error.code !== 'AWAY') throw error
      return { ...absent, ...NO_QUOTAS, allowed: whenAway === 'allow' }
    }
  }
  const end = async (path: string, question: object) => (await ask<{ outcome: Settled }>(path, question)).outcome

  return {
    check: call => decide<Omit<CheckAnswer, 'isAway'>, { decisionId: null }>('/v1/check', call, { decisionId: null }),
    reserve: call =>
      decide<Omit<ReservationAnswer, 'isAway'>, { id: null; expiresAtMs: null }>('/v1/reservations', call, {
        id: null,
        expiresAtMs: null,
      }),
    settle: (id, cost) => end('/v1/reservations/settle', { id, ...(cost === undefined ? {} : { cost }) }),
    release: id => end('/v1/reservations/release', { id }),
    record: async call => void (await ask('/v1/record', call)),
  }
}

const NO_QUOTAS = { isAway: true, binding: null, retryAfterMs: null, blocked: null, quotas: [] } as const
