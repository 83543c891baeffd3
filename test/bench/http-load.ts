/**
 * A load generator in a process of its own, as small as can be, for it shares the machine with what it measures:
 * `fork`ed, it answers each `HttpLoad` with a `Sent`.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const TICK_MS = 1
const READ_BYTES = 65_536
/** For the last answers. */
const ANSWER_MS_MAX = 30_000

export interface HttpRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

export interface HttpLoad {
  readonly url: string
  /** In turn, again and again. */
  readonly requests: readonly HttpRequest[]
  readonly connections: number
  readonly seconds: number
  /**
   * Requests per second, evenly, whether or not those before are answered: a latency begins when its request is due, so one
   * that waits for a free connection is as late as its caller would find it. Each connection sends the next one as soon as it
   * is answered when absent.
   */
  readonly rate?: number
}

export interface Sent {
  /** Milliseconds, of every answer. */
  readonly latencies: readonly number[]
  /** Answers that are no 2xx. */
  readonly failures: number
  readonly seconds: number
}

interface Line {
  readonly socket: Socket
  dueMs: number
  /** What has come of the answer. */
  text: string
}

function toBytes(host: string, { method, path, headers, body = '' }: HttpRequest): Buffer {
  const length = body === '' ? [] : [['content-length', String(Buffer.byteLength(body))]]
  const fields = [['host', host], ...Object.entries(headers), ...length].map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${fields.join('')}\r\n${body}`)
}

/** True when the text, a character for each byte, is a whole answer. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)
  return end !== -1 && text.length >= end + 4 + Number(length?.[1] ?? 0)
}

/** Instants at which requests are due: evenly, or now while there is time. */
function scheduleOf({ seconds, rate }: HttpLoad, beganMs: number) {
  const endMs = beganMs + seconds * 1000
  const total = rate === undefined ? Number.POSITIVE_INFINITY : Math.round(rate * seconds)
  const due: number[] = []
  let made = 0
  return {
    tick(nowMs: number): void {
      if (rate === undefined) return
      const dueByNow = Math.min(total, Math.floor(((nowMs - beganMs) * rate) / 1000))
      // How late our own timer is is not the server's fault.
      for (; made < dueByNow; made += 1) due.push(nowMs)
    },
    take: (nowMs: number) => (rate !== undefined ? due.shift() : nowMs < endMs ? nowMs : undefined),
    isOver: (nowMs: number) => (rate === undefined ? nowMs >= endMs : made === total && due.length === 0),
    lastAnswerMs: endMs + ANSWER_MS_MAX,
  }
}

async function send(load: HttpLoad): Promise<Sent> {
  const { hostname, port, host } = new URL(load.url)
  const requests = load.requests.map(request => toBytes(host, request))
  const latencies: number[] = []
  const idle: Line[] = []
  let [failures, sent] = [0, 0]
  const finished = Promise.withResolvers<void>()
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let index = 0; index < load.connections; index += 1) {
    const callback = (length: number) => receive(line, buffer.toString('latin1', 0, length))
    const socket = connect({ host: hostname, port: Number(port), noDelay: true, onread: { buffer, callback } })
    await once(socket, 'connect')
    const line: Line = { socket, dueMs: 0, text: '' }
    socket.once('error', finished.reject).once('close', () => finished.reject(new Error('a connection was closed')))
    idle.push(line)
  }
  const lines = [...idle]
  const beganMs = performance.now()
  const schedule = scheduleOf(load, beganMs)
  const sendDue = (nowMs: number) => {
    for (let line = idle.at(-1); line !== undefined; line = idle.at(-1)) {
      const dueMs = schedule.take(nowMs)
      const bytes = requests[sent % requests.length]
      if (dueMs === undefined || bytes === undefined) return
      idle.pop()
      line.dueMs = dueMs
      line.text = ''
      sent += 1
      line.socket.write(bytes)
    }
  }
  function receive(line: Line, text: string): boolean {
    line.text += text
    if (!isWhole(line.text)) return true
    const nowMs = performance.now()
    latencies.push(nowMs - line.dueMs)
    if (!line.text.startsWith('HTTP/1.1 2')) failures += 1
    idle.push(line)
    sendDue(nowMs)
    return true
  }
  const ticker = setInterval(() => {
    const nowMs = performance.now()
    schedule.tick(nowMs)
    sendDue(nowMs)
    if (schedule.isOver(nowMs) && idle.length === lines.length) finished.resolve()
    if (nowMs > schedule.lastAnswerMs) finished.reject(new Error('the last answers do not come'))
  }, TICK_MS)
  try {
    await finished.promise
  } finally {
    clearInterval(ticker)
    for (const { socket } of lines) socket.removeAllListeners('close').destroy()
  }
  return { latencies, failures, seconds: (performance.now() - beganMs) / 1000 }
}

process.on('disconnect', () => process.exit())
process.on('message', async (load: HttpLoad) => process.send?.(await send(load)))
