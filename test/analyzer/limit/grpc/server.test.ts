import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { pino } from 'pino'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { DoorError } from '../../../../analyzer/limit/door-error.ts'
import {
  FLAG,
  FRAME,
  FRAME_HEAD_BYTES,
  frameOf,
  numberFrame,
  PREFACE,
  settingsFrame,
} from '../../../../analyzer/limit/grpc/frames.ts'
import { frame } from '../../../../analyzer/limit/grpc/framing.ts'
import { createHealth } from '../../../../analyzer/limit/grpc/health.ts'
import { encodeFields } from '../../../../analyzer/limit/grpc/hpack.ts'
import type { GrpcMethod } from '../../../../analyzer/limit/grpc/rpc.ts'
import { type GrpcServer, openGrpcServer } from '../../../../analyzer/limit/grpc/server.ts'
import { countRunningTime } from '../../../running-time.ts'
import { silent } from '../call-records.ts'
import { PRINCIPALS } from '../door-world.ts'
import { openClient, type TestClient } from './client.ts'

const ECHO = '/test.Echo/Echo'
/** A machine under test may stand still for seconds. */
const PATIENT_MS = 60_000
const echo: GrpcMethod = { access: 'check', handle: async message => message }

let server: GrpcServer
let client: TestClient
afterEach(async () => {
  client.close()
  await server.close()
})
async function open(methods: Record<string, GrpcMethod> = {}, logger = silent) {
  const all = new Map(Object.entries({ [ECHO]: echo, ...methods }))
  server = await openGrpcServer(
    { host: '127.0.0.1', port: 0 },
    {
      methods: all,
      verify: token => PRINCIPALS[token] ?? null,
      logger,
    },
  )
  client = openClient(server.port)
}
const hello = Buffer.from('hello')
const NOTHING = Buffer.alloc(0)
const requestTo = (path: string) =>
  encodeFields([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    ['content-type', 'application/grpc'],
    ['x-quotacast-token', 'gateway'],
  ])

describe('a call', () => {
  test('is answered, whatever the length of its message within the bound', async () => {
    await open()
    // More than a window of HTTP/2's flow control, both ways.
    for (const length of [0, 1, 70_000, 256 * 1024]) {
      const { code, bytes } = await client.raw(ECHO, Buffer.alloc(length, 7))
      expect([code, bytes?.length]).toEqual([status.OK, length])
    }
    const tooLong = await client.raw(ECHO, Buffer.alloc(256 * 1024 + 1))
    expect(tooLong.code).toBe(status.RESOURCE_EXHAUSTED)
    expect((await client.raw(ECHO, hello)).code).toBe(status.OK)
  })

  test('of many at once gets its own answer', async () => {
    await open()
    const asked = Array.from({ length: 500 }, (_, index) => Buffer.from(`call ${index}`))
    const answers = await Promise.all(asked.map(message => client.raw(ECHO, message)))
    expect(answers.map(({ bytes }) => bytes?.toString())).toEqual(asked.map(String))
  })

  test('needs a token of the scope', async () => {
    await open()
    const codeWith = async (headers: Record<string, string>) => (await client.raw(ECHO, hello, { headers })).code
    expect(await codeWith({})).toBe(status.UNAUTHENTICATED)
    expect(await codeWith({ 'x-quotacast-token': 'stranger' })).toBe(status.UNAUTHENTICATED)
    expect(await codeWith({ 'x-quotacast-token': 'reader' })).toBe(status.PERMISSION_DENIED)
    expect(await codeWith({ authorization: 'Bearer gateway' })).toBe(status.OK)
    expect(await codeWith({ 'x-quotacast-token': 'admin' })).toBe(status.OK)
  })

  test('fails with the status of what went wrong; what is our fault is logged and not told', async () => {
    const logged: string[] = []
    await open(
      {
        '/test.Echo/Wrong': {
          access: 'check',
          handle: () => Promise.reject(new DoorError(400, 'header_invalid', 'größer: 100 %')),
        },
        '/test.Echo/Bug': { access: 'check', handle: () => Promise.reject(new Error('secret')) },
      },
      pino({}, { write: line => logged.push(line) }),
    )
    expect(await client.raw('/test.Echo/Nothing', hello)).toMatchObject({ code: status.UNIMPLEMENTED })
    expect(await client.raw('/test.Echo/Wrong', hello)).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: 'größer: 100 %',
    })
    const bug = await client.raw('/test.Echo/Bug', hello)
    expect([bug.code, bug.details.includes('secret')]).toEqual([status.INTERNAL, false])
    expect(logged.join()).toContain('secret')
  })

  test('to a method with a very long name is refused alone: the others on its connection go on', async () => {
    await open()
    const session = connectHttp2(`http://127.0.0.1:${server.port}`)
    session.on('error', () => undefined)
    const call = async (path: string) => {
      const stream = session.request({
        ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', 'x-quotacast-token': 'gateway' },
      })
      stream.on('error', () => undefined)
      stream.end(frame(hello))
      let grpcStatus: unknown
      for (const name of ['response', 'trailers'] as const) {
        stream.on(name, (headers: Record<string, unknown>) => {
          grpcStatus = headers['grpc-status'] ?? grpcStatus
        })
      }
      await once(stream.resume(), 'close')
      return grpcStatus
    }
    expect(await call(`/${'a b'.repeat(8_000)}`)).toBe(String(status.UNIMPLEMENTED))
    expect(await call(ECHO)).toBe(String(status.OK))
    session.close()
  })

  test('whose message comes after its deadline is never made', async () => {
    let calls = 0
    const count: GrpcMethod = {
      access: 'check',
      async handle(message) {
        calls += 1
        return message
      },
    }
    await open({ '/test.Echo/Count': count })
    const session = connectHttp2(`http://127.0.0.1:${server.port}`)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Count',
      'content-type': 'application/grpc',
      'x-quotacast-token': 'gateway',
      'grpc-timeout': '20m',
    })
    stream.on('error', () => undefined)
    const [answer] = await once(stream, 'response')
    expect(answer['grpc-status']).toBe(String(status.DEADLINE_EXCEEDED))
    stream.end(frame(hello))
    await new Promise<void>(resolve => session.ping(() => resolve()))
    session.close()
    expect(calls).toBe(0)
  })

  test('is over at its deadline, for its caller and for us', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<Uint8Array>()
    await open({ '/test.Echo/Slow': { access: 'check', handle: () => released } })
    const headers = { 'x-quotacast-token': 'gateway', 'grpc-timeout': '30m' }
    const session = connectHttp2(`http://127.0.0.1:${server.port}`)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Slow',
      'content-type': 'application/grpc',
      ...headers,
    })
    stream.end(frame(hello))
    const [answer] = await once(stream, 'response')
    expect(answer['grpc-status']).toBe(String(status.DEADLINE_EXCEEDED))
    // The answer that comes too late is nobody's.
    release(hello)
    expect((await client.raw(ECHO, hello)).code).toBe(status.OK)
    session.close()
  })

  test('that its caller gives up before its message is there is never made', async () => {
    let calls = 0
    await open({
      '/test.Echo/Count': {
        access: 'check',
        handle: async message => {
          calls += 1
          return message
        },
      },
    })
    const session = connectHttp2(`http://127.0.0.1:${server.port}`)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Count',
      'content-type': 'application/grpc',
      'x-quotacast-token': 'gateway',
    })
    stream.on('error', () => undefined)
    stream.write(frame(hello).subarray(0, 7))
    await new Promise<void>(resolve => session.ping(() => resolve()))
    stream.close(8)
    await once(stream, 'close')
    await new Promise<void>(resolve => session.ping(() => resolve()))
    session.close()
    expect((await client.raw('/test.Echo/Count', hello)).code).toBe(status.OK)
    expect(calls).toBe(1)
  })

  test('that is none of gRPC is refused, and the port goes on', async () => {
    await open()
    const session = connectHttp2(`http://127.0.0.1:${server.port}`)
    for (const headers of [{ ':method': 'GET' }, { ':method': 'POST', 'content-type': 'text/html' }]) {
      const stream = session.request({ ':path': ECHO, ...headers })
      stream.end()
      const [answer] = await once(stream, 'response')
      expect(answer['grpc-status']).toBe(String(status.INTERNAL))
      stream.resume()
      await once(stream, 'close')
    }
    session.close()
    expect((await client.raw(ECHO, hello)).code).toBe(status.OK)
  })
})

describe('the end', () => {
  test('lets calls under way finish, and takes no new ones', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    await open({
      '/test.Echo/Slow': {
        access: 'check',
        async handle(message) {
          begin()
          await released
          return message
        },
      },
    })
    const answer = client.raw('/test.Echo/Slow', hello)
    await begun
    const closed = server.close(PATIENT_MS)
    release()
    expect((await answer).code).toBe(status.OK)
    await closed
    expect((await client.raw(ECHO, hello)).code).toBe(status.UNAVAILABLE)
  })

  test('answers what was on its way, and closes at once when nothing is any more', async () => {
    await open()
    const socket = connectTcp(server.port, '127.0.0.1')
    const heard: Buffer[] = []
    const answers = () => Buffer.concat(heard).toString('latin1').split(frame(hello).toString('latin1')).length - 1
    const ask = (id: number) =>
      socket.write(
        Buffer.concat([
          frameOf(FRAME.headers, FLAG.endHeaders, id, requestTo(ECHO)),
          frameOf(FRAME.data, FLAG.endStream, id, frame(hello)),
        ]),
      )
    socket.on('data', part => heard.push(part)).write(Buffer.concat([PREFACE, settingsFrame([])]))
    ask(1)
    await expect.poll(answers).toBe(1)
    const before = Buffer.concat(heard).length
    const closed = server.close(PATIENT_MS)
    const time = countRunningTime()
    await expect.poll(() => Buffer.concat(heard).length).toBeGreaterThan(before)
    ask(3)
    await expect.poll(answers).toBe(2)
    socket.write(frameOf(FRAME.ping, FLAG.ack, 0, Buffer.alloc(8)))
    await closed
    expect(time.stop()).toBeLessThan(PATIENT_MS / 4)
  })

  test('cuts off what does not end', async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const never = new Promise<Uint8Array>(() => undefined)
    await open({
      '/test.Echo/Never': {
        access: 'check',
        handle() {
          begin()
          return never
        },
      },
    })
    const answer = client.raw('/test.Echo/Never', hello)
    await begun
    await server.close()
    expect((await answer).code).not.toBe(status.OK)
  })
})

describe('a peer', () => {
  const tcp = () => connectTcp(server.port, '127.0.0.1').on('error', () => undefined)

  test('that does not read is not read, and the others are', async () => {
    await open()
    const socket = tcp().pause()
    const ping = frameOf(FRAME.ping, 0, 0, Buffer.alloc(8))
    socket.write(Buffer.concat([PREFACE, settingsFrame([])]))
    // Far more than kernels keep for the two of us.
    const pings = Buffer.concat(Array.from({ length: 4_000 }, () => ping))
    const isTaken = () => new Promise<boolean>(resolve => socket.write(pings, () => resolve(true)))
    let taken = 0
    while (taken < 600 && (await Promise.race([isTaken(), sleep(1_000, false)]))) taken += 1
    expect(taken).toBeLessThan(600)
    expect((await client.raw(ECHO, hello)).code).toBe(status.OK)
    socket.destroy()
  })

  test('without a token makes way for whoever comes, where there is no more room; one with a token stays', async () => {
    await open()
    expect((await client.raw(ECHO, hello)).code).toBe(status.OK)
    const strangers = Array.from({ length: 1_000 }, () => tcp().resume())
    try {
      await Promise.all(strangers.map(socket => once(socket, 'connect')))
      const late = openClient(server.port)
      expect((await late.raw(ECHO, hello, { deadlineMs: PATIENT_MS })).code).toBe(status.OK)
      // A stranger that the system took up may be handed to the server after the late one, which therefore stays.
      await expect.poll(() => strangers.filter(({ closed }) => closed).length).toBe(2)
      late.close()
      expect((await client.raw(ECHO, hello)).code).toBe(status.OK)
    } finally {
      for (const socket of strangers) socket.destroy()
    }
  })

  test('is known by a token that its message holds, too', async () => {
    const path = '/test.Echo/Telling'
    await open({ [path]: { ...echo, tokenIn: message => Buffer.from(message).toString() } })
    const telling = openClient(server.port)
    const tell = async (token: string) => (await telling.raw(path, Buffer.from(token), { headers: {} })).code
    expect([await tell('stranger'), await tell('gateway')]).toEqual([status.UNAUTHENTICATED, status.OK])
    const strangers = Array.from({ length: 1_000 }, () => tcp().resume())
    try {
      await Promise.all(strangers.map(socket => once(socket, 'connect')))
      await expect.poll(() => strangers.some(({ closed }) => closed)).toBe(true)
      expect(await tell('gateway')).toBe(status.OK)
    } finally {
      for (const socket of strangers) socket.destroy()
      telling.close()
    }
  })

  test('that says very much at once is read by and by: others are, in between', async () => {
    let bytes = 0
    let bytesInTurnMax = 0
    const each = requestTo('/test.Echo/Sync')
    const sync: GrpcMethod = {
      access: 'open',
      handle(message) {
        bytes += 2 * FRAME_HEAD_BYTES + each.length + frame(message).length
        return message
      },
    }
    await open({ '/test.Echo/Sync': sync })
    const calls = 30_000
    const said = Array.from({ length: calls }, (_, index) =>
      Buffer.concat([
        frameOf(FRAME.headers, FLAG.endHeaders, 2 * index + 1, each),
        frameOf(FRAME.data, FLAG.endStream, 2 * index + 1, frame(NOTHING)),
      ]),
    )
    const whole = Buffer.concat(said)
    const socket = tcp().resume()
    const room = numberFrame(FRAME.windowUpdate, 0, 2 ** 30)
    socket.write(Buffer.concat([PREFACE, settingsFrame([]), room, whole]))
    for (let before = 0; before < whole.length; before = bytes) {
      await nextTurn()
      bytesInTurnMax = Math.max(bytesInTurnMax, bytes - before)
    }
    socket.destroy()
    // Node reads at most 64 KiB at once.
    expect(bytesInTurnMax).toBeLessThan(2 * 65_536)
  })

  test('that speaks another protocol is told, and cut off', async () => {
    await open()
    const socket = tcp()
    socket.write('GET / HTTP/1.1\r\n\r\n')
    const parts: Buffer[] = []
    socket.on('data', part => parts.push(part))
    await once(socket, 'close')
    expect(Buffer.concat(parts).at(-9 - 8 + 3)).toBe(FRAME.goAway)
  })

  test('that takes no answer is broken off at its deadline', async () => {
    await open()
    const session = connectHttp2(`http://127.0.0.1:${server.port}`, { settings: { initialWindowSize: 0 } })
    const stream = session.request({
      ':method': 'POST',
      ':path': ECHO,
      'content-type': 'application/grpc',
      'x-quotacast-token': 'gateway',
      'grpc-timeout': '30m',
    })
    stream.on('error', () => undefined)
    stream.end(frame(hello))
    const [answer] = await once(stream, 'response')
    expect(answer[':status']).toBe(200)
    stream.resume()
    await once(stream, 'close')
    expect(stream.rstCode).toBe(8)
    session.close()
  })

  test('that is silent for two pings is gone', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    await open()
    const silent = tcp().resume()
    silent.write(Buffer.concat([PREFACE, settingsFrame([])]))
    const isGone = once(silent, 'close')
    const session = connectHttp2(`http://127.0.0.1:${server.port}`)
    await once(session, 'remoteSettings')
    // The second time, what it answered to our ping has arrived, too.
    const roundTrips = async () => {
      for (let trip = 0; trip < 2; trip += 1) await new Promise<void>(resolve => session.ping(() => resolve()))
    }
    await roundTrips()
    for (let turn = 0; turn < 3; turn += 1) {
      vi.advanceTimersByTime(30_000)
      await roundTrips()
    }
    await isGone
    expect(session.closed).toBe(false)
    session.close()
  })
})

test('health answers for the port and for each service, without a token', async () => {
  let isReady = true
  const readiness = async () => ({ isReady, reasons: ['counters cannot be written'] })
  await open(Object.fromEntries([createHealth(new Map([[ECHO, echo]]), readiness)]))
  const health = async (service: string) => {
    const { code, message } = await client.call('health', { service }, { headers: {} })
    return [code, message?.status]
  }
  expect(await health('')).toEqual([status.OK, 1])
  expect(await health('test.Echo')).toEqual([status.OK, 1])
  expect(await health('test.Other')).toEqual([status.NOT_FOUND, undefined])
  isReady = false
  expect(await health('')).toEqual([status.OK, 2])
})
