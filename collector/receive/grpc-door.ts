/**
 * Before a gRPC method sees a call: who calls is checked before a message is read, and messages are held within the memory
 * of all bodies. A message that finds no room is refused where its sender comes again, and waits where nobody would. Those
 * that have not arrived whole have as much memory of their own, or they could keep those that wait from ever being handled.
 */
import { strict as assert } from 'node:assert'
import type { ServerHttp2Stream } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerListenerBuilder,
} from '@grpc/grpc-js'
import type { BeginCall, EndCall, Principal } from '../principal.ts'
import { holdArriving } from './arriving.ts'
import type { Flight } from './flight.ts'
import { ReceiveError } from './request-body.ts'
import { type Caller, RPC, RpcError, type RpcMethod } from './rpc.ts'
import { SOURCE_HEADER, sourceOf } from './source-request.ts'
import type { Sources } from './sources.ts'

/** Calls and streams at once, of all connections. */
export const CALLS_MAX = 512
const ROOM_POLL_MS = 20
const CROWDED = new RpcError(RPC.unavailable, 'too many bytes are under way')
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
  /** The message is not held any more. */
  leave(message: Buffer): void
}

export function createDoor(deps: DoorDeps): Door {
  const { flight, arriving, unavailable } = deps
  const methods = new Map(deps.methods.map(method => [method.path, method]))
  const leaving = new WeakMap<Buffer, () => void>()
  let calls = 0

  const admit = (path: string, metadata: Metadata) => {
    const method = methods.get(path)
    if (method === undefined) throw new RpcError(RPC.internal, 'there is no such method')
    callerOf(deps, method, metadata)
    const reason = unavailable()
    if (reason !== null) throw new RpcError(RPC.unavailable, reason)
    if (calls >= CALLS_MAX) throw new RpcError(RPC.unavailable, 'too many calls are under way')
  }

  const interceptor: ServerInterceptor = ({ path, requestStream }, call) => {
    const { hold, leaveAll } = holdMessages(flight, leaving)
    let state: 'new' | 'admitted' | 'over' = 'new'
    let end: EndCall | undefined
    const enter = async (message: Buffer): Promise<boolean> => {
      while (!hold(message)) {
        if (!requestStream || state === 'over') return false
        await sleep(ROOM_POLL_MS)
      }
      return true
    }
    const refuse = ({ code, message }: RpcError) => {
      end?.(code)
      call.sendStatus({ code, details: message, metadata: null })
    }
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        // A stream lasts for months, which says nothing.
        if (!requestStream) end = deps.beginCall?.(path, textsOf(metadata))
        try {
          admit(path, metadata)
        } catch (error) {
          if (!(error instanceof RpcError)) throw error
          refuse(error)
          return
        }
        calls++
        state = 'admitted'
        holdArriving(streamOf(call), arriving, () => refuse(CROWDED))
        next(metadata)
      })
      .withOnReceiveMessage(async (message, next) => {
        const hasRoom = await enter(message)
        if (state === 'over') leaveAll()
        else if (hasRoom) next(message)
        else refuse(CROWDED)
      })
      .withOnCancel(() => {
        // Whatever ends a call, it comes here.
        if (state === 'admitted') calls--
        state = 'over'
        leaveAll()
        end?.(RPC.cancelled)
      })
      .build()
    return new ServerInterceptingCall(call, {
      start: next => next(listener),
      sendStatus(status, next) {
        end?.(status.code)
        next(status)
      },
    })
  }

  return {
    interceptor,
    callerOf: (method, metadata) => callerOf(deps, method, metadata),
    leave: message => leaving.get(message)?.(),
  }
}

/** The messages of one call that are held, each of which `leaving` lets go. */
function holdMessages(flight: Flight, leaving: WeakMap<Buffer, () => void>) {
  const held = new Set<Buffer>()
  return {
    /** False when there is no room. */
    hold(message: Buffer): boolean {
      if (!flight.enter(message, message.length)) return false
      held.add(message)
      leaving.set(message, () => {
        held.delete(message)
        flight.leave(message)
      })
      return true
    },
    leaveAll() {
      for (const message of held) flight.leave(message)
      held.clear()
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
    return { principal, source: sourceOf(sources, textOf(metadata, SOURCE_HEADER) ?? method.sourceName) }
  } catch (error) {
    throw error instanceof ReceiveError ? new RpcError(RPC.notFound, error.message) : error
  }
}

/** The library shows no part of a message; what it reads from is a member that its types do not name. */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  const { stream } = call as unknown as { stream?: ServerHttp2Stream }
  assert(stream !== undefined, 'the gRPC library has its stream elsewhere')
  return stream
}

const textsOf = (metadata: Metadata) => ({ get: (name: string) => textOf(metadata, name) ?? undefined })

function textOf(metadata: Metadata, name: string): string | null {
  const [value] = metadata.get(name)
  return typeof value === 'string' && value !== '' ? value : null
}
