/** Who calls us. Types only: `deploy/http.ts` finds out, every handler receives the answer. */
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** What a token may do. `admin` includes the others. */
export const SCOPES = ['ingest', 'check', 'read', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

export interface Principal {
  /** Name of the token, for the audit; never the token. */
  name: string
  scopes: ReadonlySet<Scope>
  /** The only tenant this principal may see or write, or `null` for all of them. */
  tenant: string | null
}

/** Answers who sent an authenticated request. Routes with an `access` of `open` have nobody. */
export type PrincipalOf = (request: FastifyRequest) => Principal

/** Adds one part's routes to a role's server; each route states its `config.access`. */
export type Routes = (server: FastifyInstance) => void | Promise<void>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The scope a caller needs; `open` is for health and for what a page needs before its reader has logged in. The server refuses to start with a route without it. */
    access?: Scope | 'open'
  }
}
