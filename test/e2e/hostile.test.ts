/**
 * What nobody should send, sent at once to a collector with the bounds that the config has by default, started as the
 * product starts it: the other senders are served, and its memory stays bounded.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { anonymousMiB } from '../bench/machine.ts'
import { freePorts } from '../free-ports.ts'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'

const MiB = 2 ** 20
/** Without the pages of files, the log's among them, which the kernel takes back when it needs them. */
const MEMORY_MIB_MAX = 300
const SETUP_MS = 120_000
const GOOD_BATCHES = 40
const GOOD_EVERY_MS = 20
const ATTACKERS = 2
/** Of the file that is followed, and of what each syslog sender floods. */
const FILE_BYTES = 32 * MiB
const FLOOD_BYTES = 16 * MiB
const STORED_MS = 120_000

const dir = mkdtempSync(join(tmpdir(), 'quotacast-hostile-'))
const call = (more: object = {}) => JSON.stringify({ startedAtMs: Date.now() - 1000, ...more })
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

let quotacast: Quotacast
let syslogPorts: { tcp: number; udp: number }
let fileLines = 0

beforeAll(async () => {
  const [tcp = 0, udp = 0] = await freePorts(2)
  syslogPorts = { tcp, udp }
  const file = join(dir, 'calls.log')
  const line = `${call({ gateway: 'file', host: 'x'.repeat(400) })}\n`
  fileLines = Math.ceil(FILE_BYTES / line.length)
  const own = { dialect: 'canonical' }
  quotacast = await prepareQuotacast({
    sources: {
      file: { ...own, receive: { kind: 'file', paths: [file] } },
      flood: { ...own, receive: { kind: 'syslog_tcp', host: '127.0.0.1', port: tcp } },
      datagrams: { ...own, receive: { kind: 'syslog_udp', host: '127.0.0.1', port: udp } },
    },
  })
  await quotacast.start()
  await quotacast.ready(['store', 'limiter', 'analyzer'])
  writeFileSync(file, line.repeat(fileLines))
  await quotacast.ready()
}, SETUP_MS)
afterAll(async () => {
  await quotacast?.stop()
  quotacast?.remove()
  rmSync(dir, { recursive: true, force: true })
}, SETUP_MS)

const headers = () => ({ authorization: `Bearer ${quotacast.token}`, 'content-type': 'application/json' })

/** Senders of one byte a second, over HTTP, gRPC and syslog. */
async function drip(signal: AbortSignal): Promise<void> {
  const port = Number(new URL(quotacast.urls.collector).port)
  const head = `POST /v1/calls HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${quotacast.token}\r\ncontent-length: 8000000\r\n\r\n`
  const send = async (to: number, first: string) => {
    const socket = connect(to, '127.0.0.1').on('error', () => undefined)
    socket.write(first)
    while (!signal.aborted) {
      socket.write('[')
      await sleep(1000, undefined, { signal }).catch(() => undefined)
    }
    socket.destroy()
  }
  await Promise.all([send(port, head), send(quotacast.grpcPort, ''), send(syslogPorts.tcp, '')])
}

async function attack(first: number): Promise<void> {
  for (let index = first; index < HOSTILE.length; index += ATTACKERS) {
    const [what, path, body, statuses] = HOSTILE[index] ?? HOSTILE[0]
    const sent = { method: 'POST', headers: { ...headers(), 'content-encoding': 'gzip' }, body: gzipSync(body()) }
    const { status } = await fetch(quotacast.urls.collector + path, sent)
    expect(statuses, `${what}: ${status}`).toContain(status)
  }
}

/** More than can be stored at once: over TCP the sender waits, over UDP the rest is dropped. */
async function flood(): Promise<void> {
  const message = `<134>1 - gw app - - - ${call({ host: 'x'.repeat(400) })}\n`
  const chunk = Buffer.from(message.repeat(200))
  const datagrams = createSocket('udp4')
  const stream: Socket = connect(syslogPorts.tcp, '127.0.0.1')
  for (let sent = 0; sent < FLOOD_BYTES; sent += chunk.length) {
    for (let index = 0; index < 200; index++) datagrams.send(message, syslogPorts.udp, '127.0.0.1')
    if (!stream.write(chunk)) await once(stream, 'drain')
  }
  stream.end()
  await once(stream, 'close')
  datagrams.close()
}

test('a file, a byte a second, 1,000:1 bodies, a million labels, deep JSON and a syslog flood: others are served, memory is bounded', {
  timeout: 2 * STORED_MS + SETUP_MS,
}, async () => {
  const dripping = new AbortController()
  const dripped = drip(dripping.signal)
  let isOver = false
  const attacks = async () => {
    await Promise.all([flood(), ...Array.from({ length: ATTACKERS }, (_, first) => attack(first))])
    isOver = true
  }
  const [collector = 0] = quotacast.rolePids('collector')
  let peakMiB = 0
  const send = async () => {
    let served = 0
    for (let number = 0; number < GOOD_BATCHES || !isOver; number++) {
      const body = call({ requestId: `good-${number}`, gateway: 'good' })
      const { status } = await fetch(`${quotacast.urls.collector}/v1/calls`, {
        method: 'POST',
        headers: headers(),
        body,
      })
      if (status === 200) served++
      else expect(status).toBe(503)
      peakMiB = Math.max(peakMiB, anonymousMiB(collector))
      await sleep(GOOD_EVERY_MS)
    }
    return served
  }
  try {
    const [served] = await Promise.all([send(), attacks()])
    expect(served).toBeGreaterThanOrEqual(GOOD_BATCHES)
    const rows = (gateway: string) =>
      quotacast.query<{ rows: number }>(`SELECT count() AS rows FROM calls WHERE gateway = '${gateway}'`)
    await expect.poll(() => rows('good'), { timeout: STORED_MS }).toEqual([{ rows: served }])
    await expect.poll(() => rows('file'), { timeout: STORED_MS }).toEqual([{ rows: fileLines }])
    expect(quotacast.rolePids('collector')[0], 'it did not die of it').toBe(collector)
    expect(peakMiB).toBeGreaterThan(0)
    expect(peakMiB).toBeLessThan(MEMORY_MIB_MAX)
  } finally {
    dripping.abort()
    await dripped
  }
})
