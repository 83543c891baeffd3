/** What the receivers add to decoding: CPU time of a process that receives and drops, beside that of decoding alone. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DecodeTask, objectsOf, shapeOf } from './decode-shape.ts'
import type { Question } from './receiving-process.ts'
import { fixed, printTable } from './table.ts'

const BATCH = 500
const IN_FLIGHT = 4
/** Of all inputs, each time: the first ones warm up. */
const WARM_UP_ROUNDS = 2
const ROUNDS = 8
const POLL_MS = 10

interface Way {
  name: string
  task: DecodeTask
  /** The bodies that the inputs come in, where these have to be decoded too. */
  bodies?: (inputs: readonly string[]) => string[]
  /** Sends all inputs once. */
  send(inputs: readonly string[], to: { url: string; syslogPort: number }): Promise<void>
}

const batchesOf = (inputs: readonly string[]) =>
  Array.from({ length: Math.ceil(inputs.length / BATCH) }, (_, index) =>
    inputs.slice(index * BATCH, (index + 1) * BATCH),
  )

async function post(url: string, path: string, type: string, bodies: readonly string[]): Promise<void> {
  const left = [...bodies]
  const sender = async () => {
    for (let body = left.pop(); body !== undefined; body = left.pop()) {
      const headers = { authorization: 'Bearer bench', 'content-type': type }
      const response = await fetch(url + path, { method: 'POST', headers, body })
      if (!response.ok) throw new Error(`answered with ${response.status}: ${await response.text()}`)
      await response.arrayBuffer()
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, sender))
}

const logRecords = (lines: readonly string[]) => ({
  resourceLogs: [{ scopeLogs: [{ logRecords: lines.map(line => ({ body: { stringValue: line } })) }] }],
})

const exportsOf = (inputs: readonly string[]) => batchesOf(inputs).map(batch => JSON.stringify(logRecords(batch)))

const nginx = { dialect: 'nginx', isJson: true }
const WAYS: readonly Way[] = [
  {
    name: 'HTTP, an array of Kong objects',
    task: { dialect: 'kong', isJson: true },
    send: (inputs, { url }) =>
      post(
        url,
        '/v1/sources/kong',
        'application/json',
        batchesOf(inputs).map(batch => `[${batch}]`),
      ),
  },
  {
    name: 'HTTP, lines of nginx JSON',
    task: nginx,
    send: (inputs, { url }) =>
      post(
        url,
        '/v1/sources/nginx',
        'application/x-ndjson',
        batchesOf(inputs).map(batch => batch.join('\n')),
      ),
  },
  {
    name: 'OTLP/HTTP in JSON, log records with lines of nginx JSON',
    task: nginx,
    bodies: exportsOf,
    send: (inputs, { url }) => post(url, '/v1/sources/nginx/v1/logs', 'application/json', exportsOf(inputs)),
  },
  {
    name: 'syslog over TCP, lines of nginx JSON',
    task: nginx,
    async send(inputs, { syslogPort }) {
      const socket = connect(syslogPort, '127.0.0.1')
      for (const batch of batchesOf(inputs)) {
        if (!socket.write(batch.map(line => `<134>1 - gw nginx - - - ${line}\n`).join(''))) await once(socket, 'drain')
      }
      socket.end()
      await once(socket, 'close')
    },
  },
]

async function ask(child: ChildProcess, question: Question) {
  child.send(question)
  return (await once(child, 'message'))[0]
}

async function measure({ name, task, bodies, send }: Way): Promise<string[]> {
  const shape = shapeOf(task)
  const inputs = shape === null ? [] : objectsOf(shape).inputs
  const child = fork(new URL('receiving-process.ts', import.meta.url))
  try {
    const [to] = await once(child, 'message')
    const { microsPerCall: decoding } = await ask(child, { kind: 'decode', task, bodies: bodies?.(inputs) ?? null })
    const round = async (): Promise<number> => {
      const before = await ask(child, { kind: 'received' })
      await send(inputs, to)
      for (;;) {
        const { cpuMicros, accepted, rejected } = await ask(child, { kind: 'received' })
        if (accepted - before.accepted >= inputs.length) return (cpuMicros - before.cpuMicros) / inputs.length
        if (Object.keys(rejected).length > 0) throw new Error(`rejected: ${JSON.stringify(rejected)}`)
        await sleep(POLL_MS)
      }
    }
    const rounds: number[] = []
    for (let done = 0; done < WARM_UP_ROUNDS + ROUNDS; done++) {
      const micros = await round()
      if (done >= WARM_UP_ROUNDS) rounds.push(micros)
    }
    // Others on the machine only add.
    const receiving = rounds.toSorted((one, other) => one - other)[ROUNDS / 4] ?? Number.NaN
    return [name, fixed(decoding, 1), fixed(receiving, 1), fixed(receiving / decoding, 2)]
  } finally {
    child.kill()
    await once(child, 'exit')
  }
}

/** CPU microseconds a call, of all threads of the process. */
export async function benchReceive(): Promise<void> {
  process.stdout.write(
    `Receiving: batches of ${BATCH}, CPU µs a call from bytes to the entry of the log, nothing logged or stored\n\n`,
  )
  const rows: string[][] = []
  for (const way of WAYS) rows.push(await measure(way))
  printTable(['way in', 'made a log entry alone', 'received', 'times'], rows)
}
