import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, Server as NetServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { type AnswerText, type Handled, lookFirst } from '../../deploy/http-connections.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n'
const request = (path: string, body = '') =>
  `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n${body}`

let server: Server
let close = () => undefined as unknown
async function open(handle: (text: string) => Handled, keepAliveMs = 60_000): Promise<Socket> {
  server = createServer((told, response) => {
    let bytes = 0
    told.on('data', chunk => {
      bytes += chunk.length
    })
    told.on('end', () => response.end(`server ${bytes}`))
  })
  close = lookFirst(server, { handle: bytes => handle(bytes.toString('latin1')), heldBytesMax: 100, keepAliveMs })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return connected()
}
const connecting = () =>
  connect((server.address() as AddressInfo).port, '127.0.0.1')
    // Those that the server cuts off.
    .on('error', () => undefined)
const connected = async () => {
  const socket = connecting()
  await new Promise(resolve => socket.once('connect', resolve))
  return socket
}
const quick = (text: string): Handled => {
  if (text === 'quick') return `${OK}fast`
  return 'quick'.startsWith(text) ? 'partial' : 'unusual'
}
/** All that came, once it ends with `end`. */
const heard = (socket: Socket, end: string) =>
  new Promise<string>(resolve => {
    let text = ''
    socket.on('data', chunk => {
      text += chunk
      if (text.endsWith(end)) resolve(text)
    })
  })
const closed = (socket: Socket) => new Promise<void>(resolve => socket.resume().once('close', () => resolve()))

afterEach(() => {
  close()
  server.closeAllConnections()
  server.close()
})

test('bytes are answered as they come, also in pieces', async () => {
  const socket = await open(quick)
  socket.setNoDelay(true).write('quick')
  expect(await heard(socket, 'fast')).toBe(`${OK}fast`)
  const again = heard(socket, 'fast')
  for (const piece of 'quick') {
    socket.write(piece)
    await sleep(5)
  }
  expect(await again).toBe(`${OK}fast`)
})

test('a connection is handed over with what has come, and stays there', async () => {
  const socket = await open(quick)
  socket.write('quick')
  await heard(socket, 'fast')
  const body = 'x'.repeat(3_000_000)
  socket.write(request('/', body))
  expect(await heard(socket, 'server 3000000')).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  socket.write(request('/', 'more'))
  expect(await heard(socket, 'server 4')).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
})

test('two requests at once are answered in their order', async () => {
  const socket = await open(quick)
  socket.write(request('/', 'one') + request('/', 'second'))
  expect(await heard(socket, 'server 6')).toMatch(/server 3HTTP(?:.|\s)*server 6$/)
})

test('what comes while an answer is under way waits for it, within bounds', async () => {
  const gates: (() => void)[] = []
  const socket = await open(text =>
    text.startsWith('slow') ? new Promise(resolve => gates.push(() => resolve(`${OK}late`))) : quick(text.slice(0, 5)),
  )
  socket.write('slow')
  await expect.poll(() => gates).toHaveLength(1)
  socket.write('quick')
  await sleep(20)
  const first = heard(socket, 'fast')
  gates[0]?.()
  expect(await first).toBe(`${OK}late${OK}fast`)
  socket.write('slow')
  await expect.poll(() => gates).toHaveLength(2)
  // Far more than is held and what the system's buffers take.
  const flood = Buffer.alloc(64 * 2 ** 20, 'q')
  const isFlushed = vi.fn()
  socket.write(flood, isFlushed)
  await sleep(200)
  expect(isFlushed).not.toHaveBeenCalled()
})

test('half a request, and a connection that says nothing, do not stay', async () => {
  const idle = await open(quick, 1_000)
  // It speaks as soon as it is there: a machine that stands still may keep it from that for longer than it may be silent.
  const half = connecting()
  half.write('qui')
  const answer = heard(half, '\r\n\r\n')
  await closed(idle)
  // The server refuses what is no HTTP.
  expect(await answer).toMatch(/^HTTP\/1\.1 400/)
})

test('a client that sends no more gets its answer first', async () => {
  const socket = await open(() => sleep(50, `${OK}late`))
  socket.end('slow')
  expect(await heard(socket, 'late')).toBe(`${OK}late`)
  await closed(socket)
})

test('a client that sends no more right behind its request gets its answer, too', async () => {
  const socket = await open(quick)
  socket.end('quick')
  expect(await heard(socket, 'fast')).toBe(`${OK}fast`)
  await closed(socket)
})

test('closing lets idle connections go, and answers under way come first', async () => {
  const { promise: answer, resolve } = Promise.withResolvers<AnswerText>()
  const handle = vi.fn(() => answer)
  const idle = await open(handle)
  const busy = await connected()
  busy.write('slow')
  const late = heard(busy, 'late')
  await expect.poll(() => handle).toHaveBeenCalled()
  close()
  server.close()
  await closed(idle)
  resolve(`${OK}late`)
  expect(await late).toBe(`${OK}late`)
  await closed(busy)
})

test('a request that has begun is finished by the server, and what comes once it listens no more is its own', async () => {
  const socket = await open(quick)
  const other = await connected()
  other.write('quick')
  await heard(other, 'fast')
  socket.setNoDelay(true).write('qui')
  await sleep(50)
  NetServer.prototype.close.call(server)
  other.write(request('/', 'second'))
  expect(await heard(other, 'server 6')).toMatch(/^HTTP\/1\.1 200 OK/)
  const answer = heard(socket, '\r\n\r\n')
  close()
  // It is no HTTP.
  expect(await answer).toMatch(/^HTTP\/1\.1 400/)
})

test('what is asked in one turn is answered at its end', async () => {
  const own: Socket[] = []
  let writtenBefore: number[] = []
  const first = await open(() => {
    writtenBefore.push(own.reduce((bytes, { bytesWritten }) => bytes + bytesWritten, 0))
    return OK
  })
  server.on('connection', socket => own.push(socket))
  const sockets = [first, await connected(), await connected(), await connected()]
  const ask = async () => {
    writtenBefore = []
    const all = sockets.map(socket => heard(socket, OK))
    for (const socket of sockets) socket.write('ask')
    await Promise.all(all)
    return new Set(writtenBefore).size
  }
  // All may not come in one turn at once, but do sooner or later.
  await expect.poll(ask).toBe(1)
})

test('a client that goes while its answer is under way harms nobody', async () => {
  const { promise: answer, resolve } = Promise.withResolvers<AnswerText>()
  const handle = vi.fn(() => answer)
  const socket = await open(handle)
  socket.write('slow')
  await expect.poll(() => handle).toHaveBeenCalled()
  socket.resetAndDestroy()
  resolve(`${OK}late`)
  const other = await connected()
  other.write('slow')
  expect(await heard(other, 'late')).toBe(`${OK}late`)
})
