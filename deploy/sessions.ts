/**
 * Who is logged in to the console. A browser keeps an opaque id in a cookie that no script can read; the token that the id
 * stands for stays in this process, for a time, and is verified anew with every request: a revoked token ends its sessions.
 */
import { hash, randomBytes } from 'node:crypto'

/** A working day; then the token is asked for again. */
export const SESSION_SECONDS = 12 * 3600
/** When there are more, the oldest one has to log in again. */
const SESSIONS_MAX = 1_000
const ID_BYTES = 32
const COOKIE = 'quotacast_session'
/** Browsers take a cookie of such a name only over TLS, from this very host, for all of its paths. */
const TLS_COOKIE = `__Host-${COOKIE}`
/** Of what comes twice, the one that nobody else can have set goes first. */
const COOKIE_PATTERNS = [TLS_COOKIE, COOKIE].map(name => new RegExp(`(?:^|;) *${name}=([\\w-]{43})(?:;|$)`))

export interface Sessions {
  /** Begins a session of a token that was verified, and answers its id. */
  open(token: string): string
  /** The token of a session that has not ended, or `null`. */
  tokenOf(id: string): string | null
  /** Does nothing where there is no such session. */
  close(id: string): void
}

export function createSessions(now: () => number = Date.now): Sessions {
  // By the digest of the id, so that the time of a look-up tells nothing of it; the oldest first.
  const sessions = new Map<string, { token: string; endsAtMs: number }>()
  return {
    open(token) {
      for (const [key, { endsAtMs }] of sessions) {
        if (endsAtMs > now() && sessions.size < SESSIONS_MAX) break
        sessions.delete(key)
      }
      const id = randomBytes(ID_BYTES).toString('base64url')
      sessions.set(hash('sha256', id), { token, endsAtMs: now() + SESSION_SECONDS * 1000 })
      return id
    },
    tokenOf(id) {
      const session = sessions.get(hash('sha256', id))
      return session !== undefined && session.endsAtMs > now() ? session.token : null
    },
    close: id => void sessions.delete(hash('sha256', id)),
  }
}

/** The session's id in a `Cookie` header, or `null`. */
export const sessionIdOf = (cookies: string | undefined): string | null =>
  COOKIE_PATTERNS.flatMap(pattern => pattern.exec(cookies ?? '')?.[1] ?? [])[0] ?? null

/** A `Set-Cookie` header; an id of '' takes the cookie away. Over TLS the cookie stays there. */
export function sessionCookie(id: string, isSecure: boolean): string {
  const age = id === '' ? 0 : SESSION_SECONDS
  const cookie = `${isSecure ? TLS_COOKIE : COOKIE}=${id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${age}`
  return isSecure ? `${cookie}; Secure` : cookie
}
