/**
 * Before a gRPC method sees a call: who calls is checked before a message is read, and messages are held within the memory
 * of all bodies. A message that finds no room is refused where its sender comes again, and waits where nobody would. Those
 * that have not arrived whole have as much memory of their own, or they could keep those that wait from ever being handled.
 */
import { strict as assert } from 'node:assert'
import type { ServerHttp2Stream } from 'node:http2'
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerListenerBuilder,
} from '@grpc/grpc-js'
import type { BeginCall, MeasuredCall, Principal } from '../principal.ts'
import { endLate, holdArriving } from './arriving.ts'
import type { Flight } from './flight.ts'
import { ReceiveError } from './request-body.ts'
import { type Caller, RPC, RpcError, type RpcMethod } from './rpc.ts'
import { SOURCE_HEADER, sourceOf } from './source-request.ts'
import type { Sources } from './sources.ts'
import { createStreamMessages, type StreamMessages } from './stream-messages.ts'

/** Calls and streams at once, of all connections. A stream whose caller has gone counts until its messages are handled. */
export const CALLS_MAX = 512
const CROWDED = new RpcError(RPC.unavailable, 'too many bytes are under way')
const LATE = new RpcError(RPC.deadlineExceeded, 'no whole message came in time')
const TOKEN = 'x-quotacast-token'
const BEARER = /^bearer +(\S+)$/i

export interface DoorDeps {
  methods: readonly RpcMethod[]
  sources: Sources
  /** Whose token it is, or `null`. */
  verify: (token: string) => Principal | null
  /** Why calls cannot be taken now, or `null`. */
  unavailable: () => string | null
  flight: Flight
  /** Of messages that have not arrived whole. */
  arriving: Flight
  /** Left out where nobody measures calls. */
  beginCall?: BeginCall | undefined
}

export interface Door {
  interceptor: ServerInterceptor
  /** Who calls a method. Throws `RpcError`. */
  callerOf(method: RpcMethod, metadata: Metadata): Caller
  /** The messages of a stream that was let in; to be closed by whoever handles them. */
  messagesOf(metadata: Metadata): StreamMessages
}

export function createDoor(deps: DoorDeps): Door {
  const { flight, arriving } = deps
  const methods = new Map(deps.methods.map(method => [method.path, method]))
  const streams = new WeakMap<Metadata, StreamMessages>()
  let calls = 0

  const streamOf = (call: ServerInterceptingCallInterface, metadata: Metadata): StreamMessages => {
    const messages = createStreamMessages(flight, { ask: () => call.startRead(), onClose: () => calls-- })
    streams.set(metadata, messages)
    return messages
  }

  const interceptor: ServerInterceptor = ({ path, requestStream }, call) => {
    let isAdmitted = false
    let stream: StreamMessages | null = null
    const { hold, leaveAll } = holdMessages(flight)
    let measured: MeasuredCall | undefined
    const refuse = ({ code, message }: RpcError) => {
      measured?.end(code)
      call.sendStatus({ code, details: message, metadata: null })
    }
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        // A stream lasts for months, which says nothing.
        if (!requestStream) measured = deps.beginCall?.(path, textsOf(metadata))
        try {
          admit(deps, { method: methods.get(path), metadata, calls })
        } catch (error) {
          if (!(error instanceof RpcError)) throw error
          refuse(error)
          return
        }
        calls++
        isAdmitted = true
        if (requestStream) stream = streamOf(call, metadata)
        holdArriving(http2Of(call), arriving, () => refuse(CROWDED))
        if (!requestStream) endLate(http2Of(call), () => refuse(LATE))
        next(metadata)
      })
      .withOnReceiveMessage((message, next) => {
        if (stream !== null) stream.put(message)
        else if (hold(message)) next(message)
        else refuse(CROWDED)
      })
      .withOnReceiveHalfClose(next => (stream === null ? next() : stream.end()))
      .withOnCancel(() => {
        // Whatever ends a call, it comes here.
        if (stream !== null) stream.end()
        else if (isAdmitted) calls--
        leaveAll()
        measured?.end(RPC.cancelled)
      })
      .build()
    return new ServerInterceptingCall(call, {
      start: next => next(listener),
      sendStatus(status, next) {
        measured?.end(status.code)
        next(status)
      },
    })
  }

  return {
    interceptor,
    callerOf: (method, metadata) => callerOf(deps, method, metadata),
    messagesOf(metadata) {
      const messages = streams.get(metadata)
      assert(messages !== undefined, 'the gRPC library hands the metadata on that it was given')
      return messages
    },
  }
}

interface Coming {
  method: RpcMethod | undefined
  metadata: Metadata
  /** That are under way already. */
  calls: number
}

/** Throws `RpcError` for a call that must not, or cannot be taken now. */
function admit(deps: DoorDeps, { method, metadata, calls }: Coming): void {
  if (method === undefined) throw new RpcError(RPC.internal, 'there is no such method')
  callerOf(deps, method, metadata)
  const reason = deps.unavailable()
  if (reason !== null) throw new RpcError(RPC.unavailable, reason)
  if (calls >= CALLS_MAX) throw new RpcError(RPC.unavailable, 'too many calls are under way')
}

/** The messages of a call that is answered. */
function holdMessages(flight: Flight) {
  const held: Buffer[] = []
  return {
    /** False when there is no room. */
    hold(message: Buffer): boolean {
      const isHeld = flight.enter(message, message.length)
      if (isHeld) held.push(message)
      return isHeld
    },
    leaveAll() {
      for (const message of held) flight.leave(message)
    },
  }
}

function callerOf({ verify, sources }: DoorDeps, method: RpcMethod, metadata: Metadata): Caller {
  const token = textOf(metadata, TOKEN) ?? BEARER.exec(textOf(metadata, 'authorization') ?? '')?.[1] ?? null
  const principal = token === null ? null : verify(token)
  if (principal === null) {
    throw new RpcError(RPC.unauthenticated, token === null ? 'a token is needed' : 'the token is unknown or revoked')
  }
  if (!principal.scopes.has('ingest') && !principal.scopes.has('admin')) {
    throw new RpcError(RPC.permissionDenied, `the token ${principal.name} lacks the scope ingest`)
  }
  try {
    return { principal, source: sourceOf(sources, textOf(metadata, SOURCE_HEADER) ?? method.sourceName, principal) }
  } catch (error) {
    throw error instanceof ReceiveError ? new RpcError(RPC.notFound, error.message) : error
  }
}

/** The library shows no part of a message; what it reads from is a member that its types do not name. */
function http2Of(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  const { stream } = call as unknown as { stream?: ServerHttp2Stream }
  assert(stream !== undefined, 'the gRPC library has its stream elsewhere')
  return stream
}

const textsOf = (metadata: Metadata) => ({ get: (name: string) => textOf(metadata, name) ?? undefined })

function textOf(metadata: Metadata, name: string): string | null {
  const [value] = metadata.get(name)
  return typeof value === 'string' && value !== '' ? value : null
}
