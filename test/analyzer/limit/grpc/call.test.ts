import { status } from '@grpc/grpc-js'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { type Call, createCalls } from '../../../../analyzer/limit/grpc/call.ts'
import type { Connection } from '../../../../analyzer/limit/grpc/connection.ts'
import type { GrpcMethod } from '../../../../analyzer/limit/grpc/rpc.ts'
import type { Stream } from '../../../../analyzer/limit/grpc/streams.ts'
import { silent } from '../call-records.ts'

const PATH = '/a.B/Open'
const HEADERS = [
  [':path', PATH],
  ['content-type', 'application/grpc'],
] as const

test('messages in many tiny parts take no more memory than large ones', () => {
  const methods = new Map([[PATH, { access: 'open', handle: () => new Uint8Array() } as const]])
  const calls = createCalls({ methods, verify: () => null, logger: silent, nowMs: () => 0 })
  const refused = new Set<Stream<Call>>()
  const connection = { refuse: (stream: Stream<Call>) => refused.add(stream) } as unknown as Connection<Call>
  const handler = calls.handlerOf(() => connection)
  const headers = new Map([[':method', 'POST'], ...HEADERS])
  const byte = Buffer.from([0])
  let parts = 0
  for (let id = 1; refused.size === 0 && parts < 1e6; id += 2) {
    const windows = { receiveWindow: 0, sendWindow: 0 }
    const stream: Stream<Call> = { id, own: null, ...windows, isReceived: false, isOver: false, unsent: null }
    handler.opened(stream, headers)
    for (let part = 0; part < 200_000 && refused.size === 0; part += 1, parts += 1)
      handler.received(stream, byte, false)
  }
  // An array buffer of its own and a place in a list are far more than the byte.
  expect(parts).toBeLessThan(500_000)
})

test('failures in turns are logged once a second, not each', () => {
  const logged: string[] = []
  const logger = pino({}, { write: line => logged.push(line) })
  let nowMs = 0
  const calls = createCalls({ methods: new Map(), verify: () => null, logger, nowMs: () => nowMs })
  const connection = { refuse: () => undefined } as unknown as Connection<Call>
  const handler = calls.handlerOf(() => connection)
  const failures = () => {
    for (let id = 1; id < 100; id += 2) {
      const windows = { receiveWindow: 0, sendWindow: 0 }
      const stream: Stream<Call> = { id, own: null, ...windows, isReceived: false, isOver: false, unsent: null }
      handler.opened(stream, new Map([[':method', id % 4 === 1 ? 'GET' : 'POST'], ...HEADERS]))
    }
    return logged.length
  }
  expect(failures()).toBe(1)
  nowMs += 1_000
  expect(failures()).toBe(2)
})

test('callers without a token cannot take the room of the others, not even with calls of which nothing comes', () => {
  const handle = () => new Uint8Array()
  const methods = new Map([
    [PATH, { access: 'open', handle } as const],
    ['/a.B/Check', { access: 'check', handle } as const],
  ])
  const gateway = { name: 'gateway', scopes: new Set(['check'] as const), tenant: null }
  const calls = createCalls({ methods, verify: () => gateway, logger: silent, nowMs: () => 0 })
  const refused = new Set<number>()
  const connection = { refuse: ({ id }: Stream<Call>) => refused.add(id) } as unknown as Connection<Call>
  const handler = calls.handlerOf(() => connection)
  let id = -1
  const begin = (path: string) => {
    id += 2
    const windows = { receiveWindow: 0, sendWindow: 0 }
    const stream: Stream<Call> = { id, own: null, ...windows, isReceived: false, isOver: false, unsent: null }
    const token = ['x-quotacast-token', 'a'] as const
    handler.opened(stream, new Map([[':method', 'POST'], ...HEADERS, [':path', path], token]))
    return stream
  }
  const open: Stream<Call>[] = []
  while (refused.size === 0 && open.length < 20_000) open.push(begin(PATH))
  expect(open.length).toBeLessThan(10_000)
  const part = Buffer.alloc(100_000)
  for (let count = 0; count < 500; count += 1) handler.received(begin('/a.B/Check'), part, false)
  expect(refused.size).toBe(1)
  for (const stream of open) handler.lost(stream)
  begin(PATH)
  expect(refused.size).toBe(1)
})

test('each call ends with its status, also one that its caller gives up, or that nobody may make', () => {
  const waiting = { access: 'open', handle: () => new Promise<Uint8Array>(() => undefined) } as const
  const answering = { access: 'open', handle: () => new Uint8Array() } as const
  const methods = new Map<string, GrpcMethod>([
    [PATH, waiting],
    ['/a.B/Answer', answering],
    ['/a.B/Check', { access: 'check', handle: () => new Uint8Array() }],
  ])
  const measured: (string | number | null)[][] = []
  const calls = createCalls({
    methods,
    verify: () => null,
    beginCall(method, metadata) {
      const call: (string | number | null)[] = [method, metadata.get('traceparent') ?? null]
      measured.push(call)
      return { end: code => void call.push(code), within: act => act() }
    },
    logger: silent,
    nowMs: () => 0,
  })
  const connection = { refuse: () => undefined, answer: () => undefined } as unknown as Connection<Call>
  const handler = calls.handlerOf(() => connection)
  const begin = (path: string) => {
    const windows = { receiveWindow: 0, sendWindow: 0 }
    const stream: Stream<Call> = { id: 1, own: null, ...windows, isReceived: false, isOver: false, unsent: null }
    handler.opened(stream, new Map([[':method', 'POST'], ...HEADERS, [':path', path], ['traceparent', 'a']]))
    return stream
  }
  for (const path of [PATH, '/a.B/Answer', '/a.B/Check', '/made/up'])
    handler.received(begin(path), Buffer.alloc(5), true)
  handler.lost(begin(PATH))
  expect(measured).toEqual([
    [PATH, 'a'],
    ['/a.B/Answer', 'a', status.OK],
    ['/a.B/Check', 'a', status.UNAUTHENTICATED],
    [null, 'a', status.UNIMPLEMENTED],
    [PATH, 'a', status.CANCELLED],
  ])
})
