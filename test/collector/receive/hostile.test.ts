/** What nobody should send, sent at once with the bounds that the config has by default: the other senders are served. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { NOW_MS } from './receiver.ts'

const MiB = 2 ** 20
const MEMORY_BYTES_MAX = 300 * MiB
/** Or garbage that nobody has had to collect yet would be measured; whoever needs more than that dies of it. */
const HEAP = ['--max-old-space-size=192', '--max-semi-space-size=4']
const GOOD_BATCHES = 40
const ATTACKERS = 2
const PROCESS = new URL('receiver-process.ts', import.meta.url).pathname

const call = (more: object = {}) => JSON.stringify({ startedAtMs: NOW_MS - 1000, ...more })
const repeated = (text: string, bytes: number) => Array(Math.floor(bytes / (text.length + 1))).fill(text)
const nested = (depth: number) => `{"labels":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`
const labels = (count: number, from = 0) =>
  Object.fromEntries(Array.from({ length: count }, (_, number) => [`label-${from + number}`, 'x']))

type Hostile = readonly [what: string, path: string, body: () => string, statuses: readonly number[]]

/** A quarter of a million distinct ones. */
const manyLabels = (from: number): Hostile => [
  'many labels in many calls',
  '/v1/calls',
  () => `[${Array.from({ length: 8000 }, (_, number) => call({ labels: labels(32, from + number * 32) }))}]`,
  [200, 503],
]

/** Bodies before their compression, where they are sent, and with what they may be answered. */
const HOSTILE: readonly [Hostile, ...Hostile[]] = [
  ['64 MiB of spaces', '/v1/calls', () => ' '.repeat(64 * MiB), [413, 503]],
  ['spaces up to the bound', '/v1/calls', () => ' '.repeat(8 * MiB - 1), [200, 503]],
  [
    'one call again and again',
    '/v1/calls',
    () => `[${repeated(call({ host: 'x'.repeat(500) }), 7 * MiB)}]`,
    [200, 503],
  ],
  ['bad calls', '/v1/calls', () => `[${repeated(`{"consumer":"${'x'.repeat(500)}"}`, 7 * MiB)}]`, [400, 503]],
  ['as many labels as fit in one call', '/v1/calls', () => call({ labels: labels(400_000) }), [400, 503]],
  ...[0, 1, 2, 3].map(part => manyLabels(part * 256_000)),
  ['deep JSON', '/v1/sources/kong', () => nested(400_000), [200, 503]],
  ['deep OTLP', '/v1/traces', () => `{"resourceSpans":${nested(250_000)}}`, [200, 503]],
  ['arrays that never end', '/v1/calls', () => '['.repeat(4 * MiB), [413, 503]],
]

test('a byte a second, a 1,000:1 compressed body, a million labels and deep JSON leave others served, and memory bounded', async () => {
  const child = fork(PROCESS, { execArgv: HEAP })
  const told = async () => (await once(child, 'message'))[0]
  const { url, grpcPort } = await told()
  const headers = { authorization: 'Bearer all', 'content-type': 'application/json' }
  const slow = [Number(new URL(url).port), grpcPort].map(port => connect(port, '127.0.0.1'))
  const dripping = new AbortController()
  const drip = slow.map(async (socket, index) => {
    socket.on('error', () => undefined)
    const head = 'POST /v1/calls HTTP/1.1\r\nhost: x\r\nauthorization: Bearer all\r\ncontent-length: 16000000\r\n\r\n'
    if (index === 0) socket.write(head)
    while (!dripping.signal.aborted) {
      socket.write('[')
      await sleep(1000, undefined, { signal: dripping.signal }).catch(() => undefined)
    }
    socket.destroy()
  })
  let isOver = false
  const attack = async (first: number) => {
    for (let index = first; index < HOSTILE.length; index += ATTACKERS) {
      const [what, path, body, statuses] = HOSTILE[index] ?? HOSTILE[0]
      const sent = { method: 'POST', headers: { ...headers, 'content-encoding': 'gzip' }, body: gzipSync(body()) }
      const { status } = await fetch(url + path, sent)
      expect(statuses, `${what}: ${status}`).toContain(status)
    }
  }
  const attacks = async () => {
    await Promise.all(Array.from({ length: ATTACKERS }, (_, first) => attack(first)))
    isOver = true
  }
  const send = async () => {
    let served = 0
    for (let number = 0; number < GOOD_BATCHES || !isOver; number++) {
      const body = call({ requestId: `good-${number}` })
      const { status } = await fetch(`${url}/v1/calls`, { method: 'POST', headers, body })
      if (status === 200) served++
      else expect(status).toBe(503)
      await sleep(20)
    }
    return served
  }
  try {
    const [served] = await Promise.all([send(), attacks()])
    expect(served).toBeGreaterThanOrEqual(GOOD_BATCHES)
    child.send('usage')
    const { peakRssBytes } = await told()
    expect(peakRssBytes).toBeLessThan(MEMORY_BYTES_MAX)
  } finally {
    dripping.abort()
    await Promise.all(drip)
    child.send('close')
    await once(child, 'exit')
  }
}, 120_000)
