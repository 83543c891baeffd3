import type { FastifyInstance } from 'fastify'

/** Bytes of requests that are under way, bounded: what memory they may take together. */
export interface Flight {
  /** False when there is no room; one request alone always has. */
  enter(key: object, bytes: number): boolean
  /** The request turns out to be that much larger. False when there is no room for it, or when it has left already. */
  grow(key: object, bytes: number): boolean
  /** Gives back whatever `key` holds. */
  leave(key: object): void
}

export function createFlight(bytesMax: number): Flight {
  const held = new WeakMap<object, number>()
  let total = 0
  const hold = (key: object, own: number, bytes: number): boolean => {
    if (total > own && total + bytes > bytesMax) return false
    held.set(key, own + bytes)
    total += bytes
    return true
  }
  return {
    enter: (key, bytes) => hold(key, 0, bytes),
    grow(key, bytes) {
      const own = held.get(key)
      // Nobody would ever give back what a request takes after it has left.
      return own !== undefined && hold(key, own, bytes)
    },
    leave(key) {
      total -= held.get(key) ?? 0
      held.delete(key)
    },
  }
}

/** Requests of `scope` leave when they are answered, or when there is nobody any more who could be. */
export function leaveAtEnd(scope: FastifyInstance, flight: Flight): void {
  // Every request that was let in comes here, also that of a sender which has gone and gets no response.
  scope.addHook('onSend', (request, { raw }, _payload, done) => {
    if (raw.destroyed) flight.leave(request)
    else raw.once('close', () => flight.leave(request))
    done()
  })
}

/** What is larger takes many times its size while it is handled, and is handled one after the other. */
export const LARGE_BYTES = 2 ** 20

export type Turns = <T>(act: () => Promise<T>) => Promise<T>

/** Lets at most `atOnceMax` run at once; the others wait in order. */
export function createTurns(atOnceMax: number): Turns {
  const waiting: (() => void)[] = []
  let running = 0
  return async act => {
    if (running >= atOnceMax) await new Promise<void>(resolve => waiting.push(resolve))
    else running++
    try {
      return await act()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
