/** Who calls us, and what we are to them. Types only: `deploy/http.ts` finds out, every handler receives the answer. */
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

/** False once the caller of a request that lasts is nobody any more: the token was revoked, or the session has ended. */
export type MayStay = (request: FastifyRequest) => boolean

/** Adds one part's routes to a role's server; each route states its `config.access`. */
export type Routes = (server: FastifyInstance) => void | Promise<void>

/** How a role is. What is wrong with one need not keep it from its callers' work. */
export interface Readiness {
  /** False when its callers are better sent elsewhere. */
  readonly isReady: boolean
  /** What is wrong; empty when nothing is. */
  readonly reasons: readonly string[]
}

/** What a quick route answers; `headers` without those of the message and the connection. */
export interface QuickAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/**
 * Answers what is usual on a route without the framework. Nothing has been done when it answers `null`: then the route
 * itself is asked, which answers the same to the same, and tells errors.
 */
export interface QuickRoute {
  readonly method: 'GET' | 'POST'
  /** All of the URL: with a query it is not meant. */
  readonly path: string
  readonly access: Scope
  answer(
    principal: Principal,
    headers: FastifyRequest['headers'],
    body: string,
  ): QuickAnswer | Promise<QuickAnswer> | null
}

/** A gRPC call that is measured. */
export interface MeasuredCall {
  /** It is over, with the code of its status. The first one holds. */
  end(code: number): void
  /** Acts for the call: what is said meanwhile has its trace. */
  within<T>(act: () => T): T
}

/** A gRPC call has begun: it is measured until its end. `method` is `/package.Service/Method`, or `null` when there is none such. */
export type BeginCall = (method: string | null, metadata: { get(name: string): string | undefined }) => MeasuredCall

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The scope a caller needs; `open` is for health and for what a page needs before its reader has logged in. The server refuses to start with a route without it. */
    access?: Scope | 'open'
  }
}
