/** Where an HTTP server listens: at every address that its host has. */
import { lookup } from 'node:dns/promises'
import { createServer } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { urlOf } from './addresses.ts'
import { drainBeside } from './http-closing.ts'

/** It may have two addresses. At the second one the framework listens by a server of its own, which drains nothing. */
const LOCALHOST = 'localhost'

/** The addresses of a host. */
const addressesOf = async (host: string): Promise<string[]> =>
  (await lookup(host, { all: true })).map(({ address }) => address)

/**
 * Listens and answers the URL under which this machine reaches the server. Where the port is shared, other processes may
 * listen there, too, and connections are spread over them.
 */
export async function listen(
  server: FastifyInstance,
  { host, port, isPortShared = false }: { host: string; port: number; isPortShared?: boolean },
  find = addressesOf,
): Promise<string> {
  const addresses = host === LOCALHOST ? await find(host) : [host]
  const [first = host, ...others] = new Set(addresses)
  const where = { host: first, port, reusePort: isPortShared }
  await server.listen(where)
  for (const address of others) await listenBeside(server, { ...where, host: address })
  return urlOf(host, port)
}

/** What connects there is the server's; an address that cannot be had is left out. */
async function listenBeside(server: FastifyInstance, where: { host: string; port: number; reusePort: boolean }) {
  const beside = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    server.server.emit('connection', socket)
  })
  const { promise, resolve } = Promise.withResolvers<boolean>()
  beside.once('error', () => resolve(false)).listen(where, () => resolve(true))
  if (await promise) drainBeside(server.server, beside)
}
