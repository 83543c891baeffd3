/** What stands behind the gateways: an answer for each path of the traffic. */
import { EventEmitter, once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

export const SLOW_MS = 300
/** Clients go before; a gateway that does not see them go waits for it. */
const LATE_MS = 1000
const CHUNK_MS = 20
/** More than what gateways keep before they send. */
const CHUNK = Buffer.alloc(2 ** 16)
export const DOWNLOAD_BYTES = 2 ** 20
/** As providers of AI say it. */
export const LIMIT_HEADERS = {
  'retry-after': '20',
  'x-ratelimit-limit-requests': '100',
  'x-ratelimit-remaining-requests': '0',
  'x-ratelimit-reset-requests': '20s',
}

const ANSWERS: Readonly<Record<string, RequestListener>> = {
  '/missing': (_request, response) => response.writeHead(404).end('missing'),
  '/broken': (_request, response) => response.writeHead(500).end('broken'),
  '/limited': (_request, response) => response.writeHead(429, LIMIT_HEADERS).end('limited'),
  '/download': (_request, response) => response.end(Buffer.alloc(DOWNLOAD_BYTES)),
  '/slow': (_request, response) => setTimeout(() => response.end('slow'), SLOW_MS),
  '/hanging': (_request, response) => setTimeout(() => response.end('late'), LATE_MS),
  '/torn': (_request, response) => {
    const streaming = setInterval(() => response.write(CHUNK), CHUNK_MS)
    setTimeout(() => response.end(), LATE_MS)
    response.once('close', () => clearInterval(streaming))
  },
}

/** Of servers behind gateways some are less strict than Node. */
const TAKES_ANYTHING = { insecureHTTPParser: true, maxHeaderSize: 2 ** 17 }

export interface Backend {
  port: number
  /** Resolves when the next request of a path is here. */
  arrival(path: string): Promise<unknown>
  /** Requests of a path that came. */
  served(path: string): number
  stop(): Promise<void>
}

/** On loopback, at a port of its own choice. */
export async function startBackend(): Promise<Backend> {
  const arrivals = new EventEmitter()
  const served = new Map<string, number>()
  const server = createServer(TAKES_ANYTHING, (request, response) => {
    const path = request.url?.split('?')[0] ?? ''
    const answer = ANSWERS[path] ?? (() => response.end('ok'))
    arrivals.emit(path)
    served.set(path, (served.get(path) ?? 0) + 1)
    request.resume().once('end', () => answer(request, response))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    arrival: path => once(arrivals, path),
    served: path => served.get(path) ?? 0,
    async stop() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
