/** A proxy that loses things: before it forwards a request, or with the answer in its hands. */
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

const ONE_OF = 4

export interface LossyProxy {
  url: string
  /** Requests that arrived and whose senders do not know it. */
  lostAnswers(): number
  stop(): Promise<void>
}

/** `random` gives numbers from 0 to 1: of a quarter the request is lost, of a quarter the answer. */
export async function startLossyProxy(target: string, random: () => number): Promise<LossyProxy> {
  let lostAnswers = 0
  const server = createServer((incoming, outgoing) => {
    const chance = Math.floor(random() * ONE_OF)
    if (chance === 0) {
      incoming.socket.destroy()
      return
    }
    const { method, headers, url } = incoming
    const forwarded = request(new URL(url ?? '/', target), { method, headers }, answer => {
      if (chance === 1) {
        lostAnswers += 1
        answer.resume().once('end', () => incoming.socket.destroy())
      } else answer.pipe(outgoing.writeHead(answer.statusCode ?? 0, answer.headers))
    })
    forwarded.once('error', () => incoming.socket.destroy())
    incoming.pipe(forwarded)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lostAnswers: () => lostAnswers,
    async stop() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
