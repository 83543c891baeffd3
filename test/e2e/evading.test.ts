/**
 * Real gateways with what their guides tell to paste, and clients who try to get around the limiter: whatever they send,
 * no more calls pass than the quota allows.
 */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createIdentity } from '../../collector/identity.ts'
import { EXAMPLE_DESTINATION } from '../../deploy/gateways/render.ts'
import { type DoorWorld, openDoors } from '../analyzer/limit/door-world.ts'
import { testQuota } from '../analyzer/quotas.ts'
import { freePorts } from '../free-ports.ts'
import { describeWith } from '../servers/describe-with.ts'
import { ASKING } from './gateways/asking.ts'
import { type Backend, startBackend } from './gateways/backend.ts'
import { guided } from './gateways/guided.ts'

/** The first start of Envoy and of Spring on a machine installs them. */
const SETUP_MS = 300_000
const LIMIT = 2
/** Of the keys of clients; those of no others are known. */
const keyOf = (name: string) => `key of ${name}`
const { fingerprint } = createIdentity({ fingerprintKeys: ['f'.repeat(32)], keys: [] })
const CALLS = 2 * LIMIT

/** Header fields of the call number `turn` of a client with such a key. */
type Attempt = (key: string, turn: number) => readonly string[]

const ATTEMPTS: Readonly<Record<string, Attempt>> = {
  'nothing special': key => [`X-Api-Key: ${key}`],
  'what the gateway is to say': (key, turn) => [
    `X-Api-Key: ${key}`,
    `X-Quotacast-Consumer: somebody-${turn}`,
    `x_quotacast_consumer: somebody-${turn}`,
    `X-Quotacast-Tenant: somebody-${turn}`,
    'X-Quotacast-Cost: 0',
    'X-Quotacast-Token: gateway',
    'X-Forwarded-Uri: /elsewhere',
  ],
  'that the next hop is to drop what the gateway says': key => [
    `X-Api-Key: ${key}`,
    'Connection: close, X-Quotacast-Token, X-Quotacast-Gateway, X-Quotacast-Consumer, X-Forwarded-Uri',
  ],
  'a key beside its own': (key, turn) => [`X-Api-Key: ${key}`, `X-Api-Key: another-${turn}`],
  'a token beside its own': (key, turn) => [`Authorization: Bearer ${key}`, `Authorization: Bearer another-${turn}`],
  'a token that nobody checks': (key, turn) => [`X-Api-Key: ${key}`, `Authorization: Bearer another-${turn}`],
  'a character that the limiter does not read': key => [`X-Api-Key: ${key}`, 'X-Odd: a\x01b'],
  'more header fields than it reads': key => [
    `X-Api-Key: ${key}`,
    ...['A', 'B', 'C', 'D'].map(name => `X-${name}: ${'a'.repeat(8180)}`),
  ],
}

/** The status of the answer; a gateway may close the connection instead. */
async function call(port: number, path: string, fields: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const text = [`GET ${path} HTTP/1.1`, 'Host: gw.example', ...fields, '', ''].join('\r\n')
  socket.on('error', () => undefined).write(text, 'latin1')
  const [answer] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [''])])
  socket.destroy()
  return String(answer).slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)
}

for (const subject of ASKING) {
  describeWith(subject.checks, subject.name, () => {
    const dir = mkdtempSync(join(tmpdir(), 'quotacast-evading-'))
    let world: DoorWorld
    let backend: Backend
    let gateway: { stop(): Promise<void> }
    let port: number

    beforeAll(async () => {
      const keys = Object.keys(ATTEMPTS).map(name => ({ ids: [fingerprint(keyOf(name))], consumer: name }))
      const perKey = testQuota({ name: 'calls', per: ['consumer'], limit: LIMIT })
      ;[world, backend] = await Promise.all([openDoors({ quotas: [perKey], keys }), startBackend()])
      const [own = 0, deadPort = 0] = await freePorts(2)
      port = own
      const { hostname, port: limiterPort, origin } = new URL(world.url)
      const to = {
        ...{ ...EXAMPLE_DESTINATION, source: subject.name, token: 'acme', host: '127.0.0.1' },
        ...{ url: `http://127.0.0.1:${deadPort}`, grpcPort: deadPort, syslogPort: deadPort },
        ...{ limiterUrl: origin, limiterHost: hostname, limiterPort: Number(limiterPort) },
        limiterGrpcPort: world.grpcPort,
      }
      const moved = subject.folder === undefined ? null : { was: subject.folder, is: dir }
      const { snippets } = guided(subject.guide, subject.setups, to, moved)
      gateway = await subject.start({ dir, port, backendPort: backend.port, deadPort, snippets })
    }, SETUP_MS)
    afterAll(async () => {
      await gateway?.stop()
      await Promise.all([world?.close(), backend?.stop()])
      rmSync(dir, { recursive: true, force: true })
    }, SETUP_MS)

    test.each(Object.entries(ATTEMPTS))('no more calls pass for %s', async (name, fieldsOf) => {
      const path = `/${encodeURIComponent(name)}`
      const statuses: string[] = []
      for (let turn = 0; turn < CALLS; turn += 1) statuses.push(await call(port, path, fieldsOf(keyOf(name), turn)))
      expect([statuses, backend.served(path) <= LIMIT]).toEqual([statuses, true])
      if (name === 'nothing special') expect(statuses).toEqual(['200', '200', '429', '429'])
    })
  })
}
