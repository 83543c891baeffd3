/** What a gRPC method is to us, and how it fails. https://grpc.io/docs/guides/status-codes/ */
import type { Principal } from '../../../collector/principal.ts'

export const GRPC = {
  ok: 0,
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unauthenticated: 16,
} as const
export type GrpcCode = (typeof GRPC)[keyof typeof GRPC]

/** A call that ends with a status other than OK. */
export class GrpcError extends Error {
  readonly code: GrpcCode

  constructor(code: GrpcCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'GrpcError'
    this.code = code
  }
}

/** What a method answers: at once where it can. */
export type Answering = Uint8Array | Promise<Uint8Array>

/** What a caller's token is called, in the metadata of a call. */
export const TOKEN_NAME = 'x-quotacast-token'

/** Takes one message, and answers one. What it throws becomes the status. */
export type GrpcMethod = { readonly access: 'open'; handle(message: Uint8Array): Answering } | CheckMethod

export interface CheckMethod {
  readonly access: 'check'
  handle(message: Uint8Array, principal: Principal): Answering
  /** Where callers without metadata of their own write their token. */
  tokenIn?(message: Uint8Array): string | undefined
}

/** By path: `/package.Service/Method`. */
export type GrpcMethods = ReadonlyMap<string, GrpcMethod>
