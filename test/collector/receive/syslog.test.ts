import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type CallLog, LogError } from '../../../collector/log/call-log.ts'
import { createIntake } from '../../../collector/receive/intake.ts'
import { receiveSyslogTcp, receiveSyslogUdp } from '../../../collector/receive/syslog.ts'
import { freePorts } from '../../free-ports.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { startProcess } from '../../servers/process.ts'
import { programCheck } from '../../servers/program.ts'
import { logger, openTestLog, type TestLog } from './fixture.ts'
import {
  callLine,
  depsOf,
  type Listening,
  listen,
  normalizer,
  numbers,
  sourceOf,
  tokensOf,
  untilCalls,
} from './listening.ts'

const run = promisify(execFile)
const HEADER_3164 = '<190>Nov 20 20:19:05 host gw: '
const HEADER_5424 = '<190>1 2026-11-20T20:19:05Z host gw 42 - [x@1 a="]"] '
const PADDING = ' '.repeat(200_000)
const host = '127.0.0.1'
/** Files are looked at every few seconds. */
const RENEWAL = { timeout: 60_000, interval: 500 }

let testLog: TestLog
let port: number
beforeEach(async () => {
  testLog = await openTestLog()
  port = (await freePorts(1))[0] ?? 0
})
afterEach(() => testLog.close())

async function sendTcp(text: string, to = port): Promise<void> {
  const socket = connect(to, host)
  socket.end(text)
  await once(socket, 'close')
}

const sorted = (values: readonly number[]) => values.toSorted((one, other) => one - other)

describe('UDP', () => {
  test('takes datagrams of both formats, bare lines too, each a call of its own', async () => {
    const listening = await listen(
      receiveSyslogUdp,
      { kind: 'syslog_udp', host, port },
      sourceOf(),
      await depsOf(testLog),
    )
    expect(listening.problem()).toBeNull()
    const socket = createSocket('udp4')
    const messages = [
      `${HEADER_3164}${callLine(1)}\n`,
      HEADER_5424 + callLine(2),
      callLine(2),
      `${callLine(3)}\0`,
      'no',
    ]
    for (const message of messages) socket.send(message, port, host)
    const calls = await untilCalls(testLog, 4)
    await expect.poll(() => testLog.rejections()).toMatchObject([{ reason: 'unreadable', source: 'edge', input: 'no' }])
    socket.close()
    await listening.stop()
    expect(sorted(tokensOf(calls))).toEqual([1, 2, 2, 3])
    expect(new Set(calls.map(({ callId }) => callId)).size).toBe(4)
    expect(calls[0]).toMatchObject({ gateway: 'edge', dialect: 'canonical' })
  })
})

describe('TCP', () => {
  const open = async (changes = {}) =>
    listen(receiveSyslogTcp, { kind: 'syslog_tcp', host, port }, sourceOf(), { ...(await depsOf(testLog)), ...changes })

  test('takes both framings from many senders', async () => {
    const listening = await open()
    const streams = numbers(20).map(sender =>
      numbers(100, sender * 100)
        .map((tokens, index) => {
          const message = (index % 2 ? HEADER_5424 : HEADER_3164) + callLine(tokens)
          return index % 3 ? `${message}\n` : `${Buffer.byteLength(message)} ${message}`
        })
        .join(''),
    )
    await Promise.all(streams.map(stream => sendTcp(stream)))
    const calls = await untilCalls(testLog, 2000)
    await listening.stop()
    expect(sorted(tokensOf(calls))).toEqual(numbers(2000))
  })

  describe('while the log is full', () => {
    const openFull = async () => {
      const full = { isFull: true }
      const log: Pick<CallLog, 'append'> = {
        append: async (topic, entries) => {
          if (full.isFull) throw new LogError('LOG_FULL', 'The log is full')
          await testLog.log.append(topic, entries)
        },
      }
      const listening = await open({ intake: createIntake({ log, normalizer, logger, now: Date.now }) })
      return { full, listening }
    }

    /** Sends so many calls, far more than there is room for, and waits until nothing of them is read any more. */
    const overfill = async (listening: Listening, count: number): Promise<Socket> => {
      const socket = connect(port, host)
      for (const tokens of numbers(count)) socket.write(`${callLine(tokens)}${PADDING}\n`)
      await expect.poll(() => listening.problem()).toBe('The log is full')
      await sleep(500)
      // The sender's own buffer holds what we have no room for.
      expect(socket.writableLength).toBeGreaterThan(10_000_000)
      return socket
    }

    test('stops reading, and takes everything later', async () => {
      const { full, listening } = await openFull()
      const count = 400
      const socket = await overfill(listening, count)
      full.isFull = false
      socket.end()
      expect(tokensOf(await untilCalls(testLog, count))).toEqual(numbers(count))
      expect(listening.problem()).toBeNull()
      await listening.stop()
    })

    test('keeps what was read of senders who are gone before there is room for it', async () => {
      const { full, listening } = await openFull()
      const count = 200
      const socket = await overfill(listening, count)
      await sendTcp(`${callLine(count)}${PADDING}\n`)
      await sendTcp(callLine(count + 1) + PADDING)
      full.isFull = false
      socket.end()
      const calls = await untilCalls(testLog, count + 2)
      await listening.stop()
      expect(sorted(tokensOf(calls))).toEqual(numbers(count + 2))
    })

    test('keeps what was read of senders who broke off', async () => {
      const { full, listening } = await openFull()
      const count = 200
      const socket = await overfill(listening, count)
      const broken = connect(port, host)
      for (const text of [`${callLine(count)}\n`, `${callLine(count + 1)}\n`, callLine(count + 2)]) {
        broken.write(text)
        await sleep(100)
      }
      broken.resetAndDestroy()
      await sleep(100)
      full.isFull = false
      socket.end()
      const calls = await untilCalls(testLog, count + 3)
      await listening.stop()
      expect(sorted(tokensOf(calls))).toEqual(numbers(count + 3))
    })

    test('keeps of no more senders who are gone than there may be at once', async () => {
      const { full, listening } = await openFull()
      const [count, places] = [200, 256]
      const socket = await overfill(listening, count)
      for (const tokens of numbers(places + 10, count)) {
        await sendTcp(`${callLine(tokens)}${PADDING}\n`).catch(() => undefined)
      }
      full.isFull = false
      socket.end()
      await untilCalls(testLog, count + places - 1)
      await sendTcp(callLine(0))
      const calls = await untilCalls(testLog, count + places)
      await listening.stop()
      expect(sorted(tokensOf(calls))).toEqual([0, ...numbers(count + places - 1)])
    })
  })

  test('takes a last message that no line break follows', async () => {
    const listening = await open()
    await sendTcp(`${callLine(1)}\n${callLine(2)}`)
    expect(tokensOf(await untilCalls(testLog, 2))).toEqual([1, 2])
    await listening.stop()
  })

  test('a sender of one byte at a time, and one that breaks off, harm no other', async () => {
    const listening = await open()
    const slow = connect(port, host)
    const broken = connect(port, host)
    await Promise.all([once(slow, 'connect'), once(broken, 'connect')])
    broken.write(callLine(1).slice(0, 10))
    for (const byte of `${callLine(2)}\n`) slow.write(byte)
    broken.resetAndDestroy()
    await sendTcp(`${callLine(3)}\n`)
    expect(sorted(tokensOf(await untilCalls(testLog, 2)))).toEqual([2, 3])
    slow.destroy()
    await listening.stop()
  })

  test('keeps what was sent before it is stopped', async () => {
    const log: Pick<CallLog, 'append'> = {
      append: (topic, entries) => sleep(20).then(() => testLog.log.append(topic, entries)),
    }
    const listening = await open({ intake: createIntake({ log, normalizer, logger, now: Date.now }) })
    // Twice as many as there is room for: half of them are with the kernel.
    const count = 40
    const socket = connect(port, host)
    const lines = numbers(count).map(tokens => `${callLine(tokens)}${PADDING}\n`)
    await new Promise(resolve => socket.write(lines.join(''), resolve))
    await untilCalls(testLog, 1)
    await listening.stop()
    expect(tokensOf(await testLog.calls())).toEqual(numbers(count))
    await expect(sendTcp('x')).rejects.toThrow('ECONNREFUSED')
  })

  test('waits for no sender who does not go when it is stopped', async () => {
    const listening = await open()
    const socket = connect({ port, host, allowHalfOpen: true })
    socket.write(`${callLine(1)}\n${callLine(2)}`)
    await untilCalls(testLog, 1)
    await listening.stop()
    expect(tokensOf(await testLog.calls())).toEqual([1, 2])
    socket.destroy()
  })

  test('says which port is taken', async () => {
    const listening = await open()
    await expect(open()).rejects.toThrow(`EADDRINUSE: address already in use 127.0.0.1:${port}`)
    await listening.stop()
  })
})

describe('TLS', () => {
  async function certificate(name: string): Promise<{ certFile: string; keyFile: string }> {
    const [certFile, keyFile] = [join(testLog.dir, `${name}.pem`), join(testLog.dir, `${name}.key`)]
    const request = [
      'req',
      '-x509',
      '-nodes',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-days',
      '2',
    ]
    const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
    await run('openssl', [...request, ...names, '-keyout', keyFile, '-out', certFile])
    return { certFile, keyFile }
  }

  async function send(text: string, options: ConnectionOptions): Promise<void> {
    const socket: Socket = connectTls({ port, host, ...options })
    socket.end(text)
    await once(socket, 'close')
  }

  test('hears whoever can read it, and only those with a certificate where that is wanted', async () => {
    const [server, client] = [await certificate('server'), await certificate('client')]
    const ca = await readFile(server.certFile)
    const withTls = async (caFile?: string) =>
      listen(
        receiveSyslogTcp,
        { kind: 'syslog_tcp', host, port, tls: { ...server, ...(caFile === undefined ? {} : { caFile }) } },
        sourceOf(),
        await depsOf(testLog),
      )
    const listening = await withTls()
    await send(`${HEADER_5424}${callLine(1)}\n`, { ca })
    await untilCalls(testLog, 1)
    await listening.stop()
    const mutual = await withTls(client.certFile)
    await send(`${callLine(2)}\n`, { ca }).catch(() => undefined)
    const own = { cert: await readFile(client.certFile), key: await readFile(client.keyFile) }
    await send(`${callLine(3)}\n`, { ca, ...own })
    expect(tokensOf(await untilCalls(testLog, 2))).toEqual([1, 3])
    await mutual.stop()
  })

  test('says why it does not hear who speaks no TLS, or has no certificate', async () => {
    const [server, client] = [await certificate('server'), await certificate('client')]
    const warnings: { msg: string; err: { code: string } }[] = []
    const deps = await depsOf(testLog, {
      logger: pino({ level: 'warn' }, { write: line => void warnings.push(JSON.parse(line)) }),
    })
    const tls = { ...server, caFile: client.certFile }
    const listening = await listen(receiveSyslogTcp, { kind: 'syslog_tcp', host, port, tls }, sourceOf(), deps)
    const refusals = () => warnings.map(({ msg, err }) => [msg, err.code])
    await sendTcp(`${callLine(1)}\n`).catch(() => undefined)
    const msg = 'a sender of syslog is not heard: TLS could not begin'
    await expect.poll(refusals).toEqual([[msg, 'ERR_SSL_WRONG_VERSION_NUMBER']])
    await send(`${callLine(2)}\n`, { rejectUnauthorized: false }).catch(() => undefined)
    await expect.poll(refusals).toEqual([
      [msg, 'ERR_SSL_WRONG_VERSION_NUMBER'],
      [msg, 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE'],
    ])
    await listening.stop()
  })

  test('shows a renewed certificate to who connects from then on, and the one before while its key is not there', async () => {
    const [server, renewed] = [await certificate('server'), await certificate('renewed')]
    const shown = async () => {
      const socket = connectTls({ port, host, rejectUnauthorized: false })
      await once(socket, 'secureConnect')
      const { subject } = socket.getPeerCertificate()
      socket.destroy()
      return subject.CN
    }
    const warnings: unknown[] = []
    const deps = await depsOf(testLog, {
      logger: pino({ level: 'warn' }, { write: line => void warnings.push(JSON.parse(line).msg) }),
    })
    const listening = await listen(receiveSyslogTcp, { kind: 'syslog_tcp', host, port, tls: server }, sourceOf(), deps)
    const connected = connectTls({ port, host, rejectUnauthorized: false })
    await once(connected, 'secureConnect')
    await copyFile(renewed.certFile, server.certFile)
    await expect
      .poll(() => warnings, RENEWAL)
      .toEqual(['changed files of TLS cannot be used; what was in them before is'])
    expect(await shown()).toBe('server')
    await copyFile(renewed.keyFile, server.keyFile)
    await expect.poll(shown, RENEWAL).toBe('renewed')
    connected.end(`${callLine(1)}\n`)
    await untilCalls(testLog, 1)
    await listening.stop()
  })
})

describeWith([programCheck('rsyslog', 'rsyslogd', ['-v'], 'apt-get install rsyslog')], 'rsyslog', () => {
  test.each([
    ['RFC 3164 and line breaks', 'tcp', 'RSYSLOG_TraditionalForwardFormat', 'traditional'],
    ['RFC 5424 and lengths', 'tcp', 'RSYSLOG_SyslogProtocol23Format', 'octet-counted'],
    ['its own format over UDP', 'udp', 'RSYSLOG_ForwardFormat', 'traditional'],
  ])('forwards with %s', async (_name, protocol, template, framing) => {
    const [input = 0] = await freePorts(1)
    const config = [
      `global(workDirectory="${testLog.dir}")`,
      ...['module(load="imudp")', `input(type="imudp" address="${host}" port="${input}")`],
      `action(type="omfwd" target="${host}" port="${port}" protocol="${protocol}"`,
      `  template="${template}" TCP_Framing="${framing}" action.resumeInterval="1")`,
    ]
    const configFile = join(testLog.dir, 'rsyslog.conf')
    await writeFile(configFile, config.join('\n'))
    const listening =
      protocol === 'tcp'
        ? await listen(receiveSyslogTcp, { kind: 'syslog_tcp', host, port }, sourceOf(), await depsOf(testLog))
        : await listen(receiveSyslogUdp, { kind: 'syslog_udp', host, port }, sourceOf(), await depsOf(testLog))
    const args = ['-n', '-f', configFile, '-i', join(testLog.dir, 'rsyslog.pid')]
    const daemon = startProcess('rsyslogd', args, { cwd: testLog.dir, logFile: join(testLog.dir, 'rsyslog.log') })
    const gateway = createSocket('udp4')
    try {
      const send = (tokens: number) => gateway.send(HEADER_3164 + callLine(tokens), input, host)
      // Until it listens, what is sent is lost.
      const first = async () => {
        send(0)
        return (await testLog.calls()).length
      }
      await expect.poll(first, { interval: 200 }).toBeGreaterThan(0)
      for (const tokens of numbers(100, 1)) send(tokens)
      // More of the first may be on their way.
      await expect.poll(async () => new Set(tokensOf(await testLog.calls()))).toEqual(new Set(numbers(101)))
      expect(await testLog.rejections()).toEqual([])
    } finally {
      gateway.close()
      await daemon.stop()
      await listening.stop()
    }
  })
})
