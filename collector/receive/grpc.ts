/** The collector's gRPC port: it listens, hands messages to methods, and makes a status of what they throw. */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  logVerbosity,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
  setLogVerbosity,
} from '@grpc/grpc-js'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { LogError } from '../log/call-log.ts'
import { CALLS_MAX, createDoor, type Door, type DoorDeps } from './grpc-door.ts'
import { RPC, RpcError, type RpcMethod, rpcCodeOf } from './rpc.ts'

/** Of one message, decompressed; OpenTelemetry's collector has the same default. */
const MESSAGE_BYTES_MAX = 4 * 2 ** 20
/** A peer that is gone is noticed by then. */
const KEEPALIVE_MS = 60_000
const LISTEN_AGAIN_MS = 2000
/** What calls under way get at the end before they are cut off; streams never end by themselves. */
const CLOSE_GRACE_MS = 1000

export const GrpcOptions = Type.Object(
  {
    host: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on.' }),
    port: Type.Integer({ default: 7416, minimum: 1, maximum: 65_535, description: 'Port to listen on.' }),
  },
  {
    additionalProperties: false,
    default: {},
    description: "OpenTelemetry and Envoy's access log service over gRPC, not encrypted.",
  },
)
export type GrpcOptions = Static<typeof GrpcOptions>

export interface GrpcDeps extends DoorDeps {
  options: GrpcOptions
  logger: Logger
}

export interface GrpcPort {
  /** Why it cannot listen, or `null`. */
  problem(): string | null
  /** Takes nothing new, cuts off what does not end, and resolves when nothing is under way. */
  close(): Promise<void>
}

/** Begins to listen, and tries again as long as it cannot. */
export function openGrpc(deps: GrpcDeps): GrpcPort {
  const { options, logger } = deps
  // The library would write to the standard error what is reported here.
  setLogVerbosity(logVerbosity.NONE)
  const stop = new AbortController()
  const { signal } = stop
  const underway = new Set<Promise<void>>()
  const address = `${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`
  let problem: string | null = null
  const listen = async (): Promise<Server | null> => {
    while (!signal.aborted) {
      // A server that could not listen once never can.
      const server = createServer(deps, { underway, signal })
      problem = await bind(server, address)
      if (problem === null) {
        logger.info({ address }, 'listening for gRPC')
        return server
      }
      await sleep(LISTEN_AGAIN_MS, undefined, { signal }).catch(() => undefined)
    }
    return null
  }
  const listening = listen()
  return {
    problem: () => problem,
    async close() {
      stop.abort()
      const server = await listening
      if (server !== null) await shutDown(server)
      await Promise.all(underway)
    },
  }
}

const bind = (server: Server, address: string): Promise<string | null> =>
  new Promise(resolve => {
    server.bindAsync(address, ServerCredentials.createInsecure(), error =>
      resolve(error === null ? null : `gRPC cannot listen on ${address}: ${error.message}`),
    )
  })

async function shutDown(server: Server): Promise<void> {
  const cutOff = setTimeout(() => server.forceShutdown(), CLOSE_GRACE_MS)
  await new Promise<void>(resolve => server.tryShutdown(() => resolve()))
  clearTimeout(cutOff)
}

interface Work {
  /** What methods do at the moment. */
  underway: Set<Promise<void>>
  signal: AbortSignal
}

function createServer(deps: GrpcDeps, { underway, signal }: Work): Server {
  const door = createDoor(deps)
  const server = new Server({
    interceptors: [door.interceptor],
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_concurrent_streams': CALLS_MAX,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
  })
  const run: Run = (work, respond) => {
    const done = work()
      .then(
        answer => respond(null, answer),
        (error: unknown) => respond(statusOf(error, deps.logger)),
      )
      .finally(() => underway.delete(done))
    underway.add(done)
  }
  for (const method of deps.methods) addMethod(server, method, { door, run, signal })
  return server
}

type Respond = sendUnaryData<Buffer>
type Run = (work: () => Promise<Buffer>, respond: Respond) => void

const asItIs = (bytes: Buffer) => bytes

function addMethod(
  server: Server,
  method: RpcMethod,
  { door, run, signal }: { door: Door; run: Run; signal: AbortSignal },
) {
  const handler =
    method.kind === 'unary'
      ? ({ metadata, request }: ServerUnaryCall<Buffer, Buffer>, respond: Respond) =>
          run(async () => method.handle(request, door.callerOf(method, metadata)), respond)
      : (call: ServerReadableStream<Buffer, Buffer>, respond: Respond) =>
          run(async () => {
            const messages = door.messagesOf(call.metadata)
            const callerOf = () => door.callerOf(method, call.metadata)
            try {
              return await method.handle(checked(messages.read(), callerOf), callerOf(), signal)
            } finally {
              messages.close()
            }
          }, respond)
  const definition = {
    path: method.path,
    requestStream: method.kind === 'stream',
    responseStream: false,
    ...{ requestSerialize: asItIs, requestDeserialize: asItIs },
    ...{ responseSerialize: asItIs, responseDeserialize: asItIs },
  }
  server.addService({ [method.path]: definition }, { [method.path]: handler })
}

/** Streams may last for months: that their token still holds is checked with each message. */
async function* checked(messages: AsyncIterable<Buffer>, check: () => void): AsyncGenerator<Buffer> {
  for await (const message of messages) {
    check()
    yield message
  }
}

/** What the caller is told; what is our fault is told to whoever reads our log. */
function statusOf(error: unknown, logger: Logger): { code: number; details: string } {
  if (error instanceof RpcError) return { code: error.code, details: error.message }
  if (error instanceof LogError && error.retryable) return { code: RPC.unavailable, details: error.message }
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  if (error instanceof Error && status < 500) return { code: rpcCodeOf(status), details: error.message }
  logger.error({ err: error }, 'a gRPC call failed')
  return { code: RPC.internal, details: 'This is our fault; the log of the role says more.' }
}
