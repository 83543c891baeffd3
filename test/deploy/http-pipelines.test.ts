import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { serveInTurn, WAITING_MAX } from '../../deploy/http-pipelines.ts'

let server: Server
let socket: Socket
afterEach(() => {
  socket.destroy()
  server.close()
  server.closeAllConnections()
})

/** A connection to a server whose requests are served in turn; what it hears is collected. */
async function open(handle: (request: IncomingMessage, response: ServerResponse) => void) {
  server = createServer(handle)
  serveInTurn(server, (refused, isHeard) => refused.end(isHeard ? 'too many' : ''))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  let heard = ''
  socket.on('data', bytes => {
    heard += bytes
  })
  return () => heard
}

const requests = (count: number) =>
  Array.from({ length: count }, (_, number) => `POST /${number} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`)
const answersIn = (heard: string) => Array.from(heard.matchAll(/^\/\d+$/gm), ([path]) => Number(path.slice(1)))
const numbers = (count: number) => Array.from({ length: count }, (_, number) => number)

test('requests that come at once on one connection are served one after the other', async () => {
  let underway = 0
  let most = 0
  const heard = await open((request, response) => {
    most = Math.max(most, ++underway)
    request.resume().once('end', () =>
      setImmediate(() => {
        underway--
        response.end(`\n${request.url}\n`)
      }),
    )
  })
  socket.write(requests(20).join(''))
  await expect.poll(() => answersIn(heard())).toEqual(numbers(20))
  expect(most).toBe(1)
  socket.write(requests(1).join(''))
  await expect.poll(() => answersIn(heard())).toEqual([...numbers(20), 0])
})

test('a connection ends on which more wait than may, and what comes on it is neither served nor kept', async () => {
  const served: string[] = []
  const heard = await open(request => void served.push(request.url ?? ''))
  socket.write(requests(3 * WAITING_MAX).join(''))
  await once(socket, 'end')
  expect(heard()).toBe('too many')
  expect(served).toEqual(['/0'])
})

test('nothing is told in the middle of an answer', async () => {
  const heard = await open((_request, response) => void response.write('half'))
  socket.write(requests(3 * WAITING_MAX).join(''))
  await once(socket, 'end')
  expect(heard()).not.toContain('too many')
})

test('what waits is not served any more when its sender has gone', async () => {
  const served: string[] = []
  const held: ServerResponse[] = []
  await open((request, response) => {
    served.push(request.url ?? '')
    held.push(response)
  })
  socket.write(requests(10).join(''))
  await expect.poll(() => served).toHaveLength(1)
  socket.resetAndDestroy()
  await once(held[0] as ServerResponse, 'close')
  await new Promise(resolve => setImmediate(resolve))
  expect(served).toEqual(['/0'])
})
