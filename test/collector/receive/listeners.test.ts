import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Listeners, type ListeningSource, openListeners } from '../../../collector/receive/listeners.ts'
import { freePorts } from '../../free-ports.ts'
import { openTestLog, type TestLog } from './fixture.ts'
import { callLine, depsOf, sourceOf, untilCalls } from './listening.ts'

const host = '127.0.0.1'
let testLog: TestLog
let listeners: Listeners
beforeEach(async () => {
  testLog = await openTestLog()
})
afterEach(async () => {
  await listeners.close()
  await testLog.close()
})

async function open(receives: Record<string, ListeningSource['receive']>): Promise<void> {
  const { report: _report, reportWaiting: _waiting, signal: _signal, ...deps } = await depsOf(testLog)
  const sources = Object.entries(receives).map(([name, receive]) => ({
    source: sourceOf('canonical', { name }),
    receive,
  }))
  listeners = openListeners(sources, deps)
}
const untilProblem = (source: string, problem: RegExp | null) => {
  const found = expect.poll(() => listeners.problemOf(source))
  return problem === null ? found.toBeNull() : found.toMatch(problem)
}

test('one that fails is said to and tried again, while the others run', async () => {
  const [port = 0, other = 0] = await freePorts(2)
  const squatter = createServer().listen(port, host)
  await once(squatter, 'listening')
  const path = join(testLog.dir, 'access.log')
  await writeFile(path, `${callLine(1)}\n`)
  await open({
    taken: { kind: 'syslog_tcp', host, port },
    files: { kind: 'file', paths: [path], from: 'begin' },
    early: { kind: 'file', paths: [join(testLog.dir, 'comes-later.log')], from: 'begin' },
    datagrams: { kind: 'syslog_udp', host, port: other },
    locked: { kind: 'syslog_tcp', host, port: other, tls: { certFile: '/nowhere/cert.pem', keyFile: '/nowhere/key' } },
  })
  await untilProblem('taken', /EADDRINUSE/)
  await untilProblem('locked', /no such file/)
  await untilProblem('files', null)
  await untilProblem('early', /No file is there/)
  await untilProblem('datagrams', null)
  expect(listeners.readiness()).toEqual([
    expect.stringMatching(/^source taken: listen EADDRINUSE/),
    expect.stringMatching(/^source locked: sources\.locked\.receive\.tls\.\w+: there is no such file$/),
  ])
  const socket = createSocket('udp4')
  socket.send(callLine(2), other, host)
  const calls = await untilCalls(testLog, 2)
  socket.close()
  expect(new Set(calls.map(({ gateway }) => gateway))).toEqual(new Set(['edge']))
  squatter.close()
  await untilProblem('taken', null)
})

test('nothing is listened to after closing, also when it has not begun yet', async () => {
  const [port = 0] = await freePorts(1)
  await open({ early: { kind: 'syslog_tcp', host, port } })
  await listeners.close()
  const server = createServer().listen(port, host)
  await once(server, 'listening')
  server.close()
  expect(listeners.problemOf('other')).toBeNull()
})
