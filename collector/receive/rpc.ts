/** What a gRPC method is to us, and how it fails. https://grpc.io/docs/guides/status-codes/ */
import type { Principal } from '../principal.ts'
import type { CallSource } from './source.ts'

export const RPC = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const

const BY_STATUS: Readonly<Record<number, number>> = {
  401: RPC.unauthenticated,
  403: RPC.permissionDenied,
  404: RPC.notFound,
  413: RPC.resourceExhausted,
  503: RPC.unavailable,
}

/** gRPC's code for what HTTP answers with a status of 400 or more. */
export const rpcCodeOf = (status: number): number =>
  BY_STATUS[status] ?? (status < 500 ? RPC.invalidArgument : RPC.internal)

/** A call that ends with a status other than OK. */
export class RpcError extends Error {
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.name = 'RpcError'
    this.code = code
  }
}

/** Who calls, and for which source. */
export interface Caller {
  principal: Principal
  source: CallSource
}

interface MethodBase {
  /** `/package.Service/Method`. */
  path: string
  /** The source of callers that name none. */
  sourceName: string
}

/** Takes one message, and answers one. What it throws becomes the status. */
export interface UnaryMethod extends MethodBase {
  kind: 'unary'
  handle(message: Buffer, caller: Caller): Promise<Buffer>
}

/** Takes messages until there are no more, and answers one. A message is let go when the next one is asked for. */
export interface StreamMethod extends MethodBase {
  kind: 'stream'
  handle(messages: AsyncIterable<Buffer>, caller: Caller, signal: AbortSignal): Promise<Buffer>
}

export type RpcMethod = UnaryMethod | StreamMethod
