/**
 * HTTP requests at an even rate, whether or not those before are answered. A latency begins when its request is due, so one that
 * waits for a free connection is as late as its caller would find it.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type autocannon from 'autocannon'

const TICK_MS = 1

export interface Paced {
  /** Milliseconds, of every answer. */
  latencies: readonly number[]
  /** Answers that are no 2xx. */
  failures: number
  seconds: number
}

interface Line {
  readonly socket: Socket
  dueMs: number
  /** What has come of the answer. */
  text: string
}

/** autocannon writes fields of its own into the requests that it is given. */
const OWN_FIELDS = ['host', 'connection', 'content-length']

function toBytes(host: string, { method, path, headers = {}, body = '' }: autocannon.Request): Buffer {
  const given = Object.entries(headers).filter(([name]) => !OWN_FIELDS.includes(name.toLowerCase()))
  const length = body === '' ? [] : [['content-length', String(Buffer.byteLength(body))]]
  const fields = [['host', host], ...given, ...length].map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${fields.join('')}\r\n${body}`)
}

/** True when the text is a whole answer. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text.slice(0, end + 2))
  return end !== -1 && Buffer.byteLength(text) >= end + 4 + Number(length?.[1] ?? 0)
}

export async function sendPaced(options: {
  url: string
  requests: readonly autocannon.Request[]
  connections: number
  seconds: number
  /** Per second. */
  rate: number
}): Promise<Paced> {
  const { rate, seconds } = options
  const { hostname, port, host } = new URL(options.url)
  const requests = options.requests.map(request => toBytes(host, request))
  const latencies: number[] = []
  const due: number[] = []
  const idle: Line[] = []
  let failures = 0
  let sent = 0
  const send = () => {
    while (due.length > 0 && idle.length > 0) {
      const line = idle.pop()
      const bytes = requests[sent % requests.length]
      if (line === undefined || bytes === undefined) return
      line.dueMs = due.shift() ?? 0
      line.text = ''
      sent += 1
      line.socket.write(bytes)
    }
  }
  const receive = (line: Line, chunk: Buffer) => {
    line.text += chunk.toString('latin1')
    if (!isWhole(line.text)) return
    latencies.push(performance.now() - line.dueMs)
    if (!line.text.startsWith('HTTP/1.1 2')) failures += 1
    idle.push(line)
    send()
  }
  for (let index = 0; index < options.connections; index += 1) {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    await once(socket, 'connect')
    const line: Line = { socket, dueMs: 0, text: '' }
    socket.on('data', chunk => receive(line, chunk))
    idle.push(line)
  }
  const total = Math.round(rate * seconds)
  const beganMs = performance.now()
  let asked = 0
  const broken = Promise.withResolvers<never>()
  for (const { socket } of idle) {
    socket.once('error', broken.reject).once('close', () => broken.reject(new Error('a connection was closed')))
  }
  const isDone = () => {
    const nowMs = performance.now()
    const dueByNow = Math.min(total, Math.floor(((nowMs - beganMs) * rate) / 1000))
    // How late our own timer is is not the server's fault.
    for (; asked < dueByNow; asked += 1) due.push(nowMs)
    send()
    return latencies.length === total
  }
  // Nobody waits for it any more when the sockets are closed at the end.
  broken.promise.catch(() => undefined)
  while (!isDone()) await Promise.race([sleep(TICK_MS), broken.promise])
  const tookSeconds = (performance.now() - beganMs) / 1000
  for (const { socket } of idle) socket.destroy()
  return { latencies, failures, seconds: tookSeconds }
}
