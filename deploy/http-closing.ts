/** How an HTTP server ends: with what it was asked answered. */
import type { Server } from 'node:http'
import { Server as NetServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'

const IDLE_SWEEP_MS = 20
/** A server that closes waits for so many sweeps for what is on its way on connections that are kept. */
const DRAIN_SWEEPS = 10

/** Servers that take connections for another one. */
const BESIDE = new WeakMap<Server, NetServer[]>()

/** Drains the other one together with the server, to which it hands its connections. */
export function drainBeside(server: Server, other: NetServer): void {
  BESIDE.set(server, [...(BESIDE.get(server) ?? []), other])
}

/**
 * Listens no more, and leaves connections a moment to end by an answer that says so: whoever has just sent a request on
 * one that is closed as idle would never hear of it.
 */
export async function drain(server: Server): Promise<void> {
  // That of HTTP closes what is idle, too.
  NetServer.prototype.close.call(server)
  const others = BESIDE.get(server) ?? []
  const ended = others.map(other => promisify(other.close.bind(other))())
  const counts = [server, ...others].map(one => promisify(one.getConnections.bind(one)))
  const count = async () => (await Promise.all(counts.map(ask => ask()))).reduce((sum, open) => sum + open, 0)
  for (let sweeps = 0; sweeps < DRAIN_SWEEPS && (await count()) > 0; sweeps += 1) await sleep(IDLE_SWEEP_MS)
  // A connection whose last answer went out after the close began would stay open until its client gives it up.
  const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS)
  await Promise.all(ended)
  server.once('close', () => clearInterval(sweep))
}

/** Takes nothing new, lets what is under way finish for `graceMs`, then cuts it off. */
export async function closeServer(server: FastifyInstance, graceMs: number): Promise<void> {
  const cutOff = setTimeout(() => server.server.closeAllConnections(), graceMs)
  try {
    await server.close()
  } finally {
    clearTimeout(cutOff)
  }
}
