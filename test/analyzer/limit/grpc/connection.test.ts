/** A peer as bytes: what it may do, what ends its stream, what ends its connection, and what it cannot make us keep. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createConnection } from '../../../../analyzer/limit/grpc/connection.ts'
import {
  ERROR,
  FLAG,
  FRAME,
  frameOf,
  numberFrame,
  PREFACE,
  SETTING,
  settingsFrame,
} from '../../../../analyzer/limit/grpc/frames.ts'
import { encodeFields } from '../../../../analyzer/limit/grpc/hpack.ts'
import type { Answer, Stream } from '../../../../analyzer/limit/grpc/streams.ts'

const CONTENT_BYTES_MAX = 100
const NOTHING = Buffer.alloc(0)
const { endStream: END, endHeaders: HEADERS_END, ack: ACK, padded: PADDED, priority: PRIORITY } = FLAG

interface Heard {
  type: number
  flags: number
  id: number
  content: Buffer
}

function framesOf(bytes: Buffer): Heard[] {
  const frames: Heard[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    const content = bytes.subarray(at + 9, at + 9 + length)
    frames.push({ type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0, id: bytes.readUInt32BE(at + 5), content })
    at += 9 + length
  }
  return frames
}

const answerOf = (content: Buffer): Answer => ({
  head: Buffer.from([0x88]),
  content,
  trailers: encodeFields([['x', 'y']]),
})

/** Echoes what it receives, unless told to wait. */
function setUp({ isSettled = true, waits = false } = {}) {
  const events: string[] = []
  const opened: Stream<Buffer[]>[] = []
  let nowMs = 0
  let flushes = 0
  const connection = createConnection<Buffer[]>({
    handler: {
      opened(stream, fields) {
        stream.own = []
        opened.push(stream)
        events.push(`opened ${stream.id} ${fields.get(':path')}`)
      },
      received(stream, part, isLast) {
        stream.own?.push(Buffer.from(part))
        if (!isLast) return
        const content = Buffer.concat(stream.own ?? [])
        events.push(`received ${stream.id} ${content}`)
        if (!waits) connection.answer(stream, answerOf(content))
      },
      lost: stream => events.push(`lost ${stream.id}`),
    },
    contentBytesMax: CONTENT_BYTES_MAX,
    nowMs: () => nowMs,
    wantsFlush: () => {
      flushes += 1
    },
  })
  const hear = () => framesOf(connection.take() ?? NOTHING)
  if (isSettled) {
    expect(connection.receive(Buffer.concat([PREFACE, settingsFrame([])]))).toBe(true)
    hear()
  }
  return {
    ...{ connection, events, opened, hear },
    flushes: () => flushes,
    say: (...frames: Buffer[]) => connection.receive(Buffer.concat(frames)),
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

const REQUEST = Buffer.concat([Buffer.from([0x83, 0x84, 0x86]), encodeFields([['a', 'b']])])
const headers = (id: number, flags: number = HEADERS_END, block: Buffer = REQUEST) =>
  frameOf(FRAME.headers, flags, id, block)
const content = (id: number, text: string, flags: number = END) => frameOf(FRAME.data, flags, id, Buffer.from(text))
const reset = (id: number, code = ERROR.cancel) => numberFrame(FRAME.rstStream, id, code)
const ping = (flags = 0) => frameOf(FRAME.ping, flags, 0, Buffer.from('12345678'))
const wider = (id: number, bytes: number) => numberFrame(FRAME.windowUpdate, id, bytes)

const codeOf = (frames: readonly Heard[], type: number) => {
  const frame = frames.findLast(one => one.type === type)
  return frame?.content.readUInt32BE(frame.content.length - 4)
}

describe('a request', () => {
  test('is answered, and its stream is gone', () => {
    const { say, hear, events, connection } = setUp()
    expect(say(headers(1), content(1, 'hello'))).toBe(true)
    const [head, body, trailers, ...rest] = hear()
    expect(events).toEqual(['opened 1 /', 'received 1 hello'])
    expect([head?.type, head?.flags, body?.content.toString(), trailers?.flags]).toEqual([
      ...[FRAME.headers, HEADERS_END, 'hello', HEADERS_END | END],
    ])
    expect([rest.length, connection.streams.size]).toEqual([0, 0])
  })

  test('is the same however its bytes are cut, and whatever is between its frames', () => {
    const bytes = Buffer.concat([
      ...[PREFACE, settingsFrame([[SETTING.maxFrameSize, 20_000]]), headers(1), ping(), content(1, 'he', 0)],
      ...[frameOf(FRAME.priority, 0, 3, Buffer.alloc(5)), frameOf(0xfe, 0xff, 7, Buffer.from('grease')), wider(0, 1)],
      frameOf(
        FRAME.headers,
        PRIORITY | PADDED,
        3,
        Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 9, 0x83]), Buffer.alloc(2)]),
      ),
      frameOf(FRAME.continuation, 0, 3, REQUEST.subarray(1, 5)),
      frameOf(FRAME.continuation, HEADERS_END, 3, REQUEST.subarray(5)),
      frameOf(FRAME.data, END | PADDED, 3, Buffer.from([3, 120, 0, 0, 0])),
      ...[
        content(1, 'llo', 0),
        headers(1, HEADERS_END | END, encodeFields([['trailer', 'x']])),
        headers(5, HEADERS_END | END),
      ],
    ])
    const expected = ['opened 1 /', 'opened 3 /', 'received 3 x', 'received 1 hello', 'opened 5 /', 'received 5 ']
    fc.assert(
      fc.property(fc.array(fc.nat({ max: bytes.length })), cuts => {
        const { connection, events, hear } = setUp({ isSettled: false })
        let from = 0
        for (const to of [...cuts.toSorted((one, other) => one - other), bytes.length]) {
          expect(connection.receive(bytes.subarray(from, to))).toBe(true)
          from = to
        }
        expect(events).toEqual(expected)
        expect(hear().map(({ type }) => type)).toEqual([
          ...[FRAME.settings, FRAME.windowUpdate, FRAME.settings, FRAME.ping],
          ...Array.from({ length: 2 }, () => [FRAME.headers, FRAME.data, FRAME.headers]).flat(),
          ...[FRAME.headers, FRAME.data, FRAME.headers],
        ])
        expect(connection.streams.size).toBe(0)
      }),
    )
  })

  test('of a whole turn is told to the socket once', () => {
    const { say, hear, flushes } = setUp()
    const before = flushes()
    say(headers(1), content(1, 'a'), headers(3), content(3, 'b'))
    expect(flushes()).toBe(before + 1)
    expect(hear()).toHaveLength(6)
  })

  test('that was answered before it was whole is reset, and what still comes of it is passed over', () => {
    const { say, hear, opened, connection, events } = setUp()
    say(headers(1))
    const [stream] = opened
    if (stream !== undefined) connection.refuse(stream, Buffer.from([0x88]))
    const [head, broken] = hear()
    expect([head?.flags, broken?.type]).toEqual([HEADERS_END | END, FRAME.rstStream])
    expect(say(content(1, 'late'), headers(1, HEADERS_END | END), reset(1), wider(1, 5))).toBe(true)
    expect([hear(), events]).toEqual([[], ['opened 1 /']])
  })

  test('that is given up is lost, and no answer goes out', () => {
    const { say, hear, opened, connection, events } = setUp({ waits: true })
    say(headers(1), content(1, 'x'), reset(1))
    for (const stream of opened) connection.answer(stream, answerOf(Buffer.from('x')))
    expect([hear(), events.at(-1), connection.streams.size]).toEqual([[], 'lost 1', 0])
  })

  test('ends with all others when the peer is gone', () => {
    const { say, connection, events } = setUp({ waits: true })
    say(headers(1), headers(3), content(3, 'x'))
    connection.lost()
    expect(events.slice(-2)).toEqual(['lost 1', 'lost 3'])
    expect(connection.receive(headers(5))).toBe(false)
  })
})

test('our first fields say that we keep no table, whatever size the peer wants it to be', () => {
  const { say, hear } = setUp()
  say(settingsFrame([[1, 0]]), headers(1, HEADERS_END | END), headers(3, HEADERS_END | END))
  const blocks = hear().filter(({ type, flags }) => type === FRAME.headers && (flags & END) === 0)
  expect(blocks.map(block => block.content.toString('hex'))).toEqual(['2088', '88'])
})

describe('flow control', () => {
  test('lets an answer wait for both windows, and goes on where it was', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 300 }),
        fc.array(fc.tuple(fc.constantFrom(0, 1, 3, 'initial' as const), fc.integer({ min: 1, max: 200 }))),
        (initial, steps) => {
          const { say, hear, opened, connection } = setUp({ waits: true })
          say(settingsFrame([[SETTING.initialWindowSize, initial]]))
          const bodies = [1, 3].map(id => Buffer.alloc(200, id))
          for (const id of [1, 3]) say(headers(id), content(id, 'x'))
          for (const [index, stream] of opened.entries()) connection.answer(stream, answerOf(bodies[index] ?? NOTHING))
          const heard = hear()
          let initialNow = initial
          const own: Record<number, number> = { 1: 0, 3: 0 }
          const check = () => {
            for (const [index, id] of [1, 3].entries()) {
              const sent = Buffer.concat(
                heard.filter(one => one.type === FRAME.data && one.id === id).map(one => one.content),
              )
              const isOver = heard.some(one => one.type === FRAME.headers && one.id === id && (one.flags & END) !== 0)
              expect(bodies[index]?.subarray(0, sent.length)).toEqual(sent)
              // The connection's own window is wide enough for both.
              expect(sent.length >= Math.min(200, initialNow + (own[id] ?? 0))).toBe(true)
              expect(isOver).toBe(sent.length === 200)
            }
          }
          check()
          for (const [where, bytes] of steps) {
            if (where === 'initial') {
              initialNow = bytes
              say(settingsFrame([[SETTING.initialWindowSize, bytes]]))
            } else {
              say(wider(where, bytes))
              own[where] = (own[where] ?? 0) + bytes
            }
            heard.push(...hear())
            check()
          }
        },
      ),
    )
  })

  test('of the connection lets answers wait, the first ones first', () => {
    const { say, hear, opened, connection } = setUp({ waits: true })
    say(settingsFrame([[SETTING.initialWindowSize, 100_000]]))
    for (const id of [1, 3]) say(headers(id), content(id, 'x'))
    for (const stream of opened) connection.answer(stream, answerOf(Buffer.alloc(50_000)))
    const bytesOf = () =>
      hear().reduce((sum, { type, content: { length } }) => sum + (type === FRAME.data ? length : 0), 0)
    expect(bytesOf()).toBe(65_535)
    expect(connection.streams.size).toBe(1)
    say(wider(0, 10_000))
    expect(bytesOf()).toBe(10_000)
    say(wider(0, 100_000))
    expect([bytesOf(), connection.streams.size]).toEqual([24_465, 0])
  })

  test('an answer that is not taken can be broken off', () => {
    const { say, hear, opened, connection, events } = setUp({ waits: true })
    say(settingsFrame([[SETTING.initialWindowSize, 0]]), headers(1), content(1, 'x'))
    const [stream] = opened
    if (stream === undefined) throw new Error('it was opened')
    connection.answer(stream, answerOf(Buffer.from('hello')))
    hear()
    connection.cancel(stream)
    expect([codeOf(hear(), FRAME.rstStream), events.at(-1)]).toEqual([ERROR.cancel, 'lost 1'])
    expect([say(wider(1, 9)), hear()]).toEqual([true, []])
  })

  test('gives a sender as much room as it has used, and no more to one stream', () => {
    const { say, hear } = setUp()
    let given = 2 ** 20
    let used = 0
    for (let id = 1; id < 12_000; id += 2) {
      expect(say(headers(id), content(id, 'c'.repeat(2 * CONTENT_BYTES_MAX)))).toBe(true)
      used += 2 * CONTENT_BYTES_MAX
      for (const frame of hear()) if (frame.type === FRAME.windowUpdate) given += frame.content.readUInt32BE()
      expect(given).toBeGreaterThan(used)
      // Answers are taken.
      say(wider(0, 2 * CONTENT_BYTES_MAX))
    }
    say(headers(20_001), content(20_001, 'c'.repeat(2 * CONTENT_BYTES_MAX + 1)))
    expect(codeOf(hear(), FRAME.rstStream)).toBe(ERROR.flowControl)
  })
})

describe('what ends the stream and not the connection', () => {
  const UPPER = encodeFields([['A', 'b']])
  test.each([
    ['a request without a path', [headers(1, HEADERS_END, Buffer.from([0x83, 0x86]))], ERROR.protocol],
    ['a method said twice', [headers(1, HEADERS_END, Buffer.from([0x83, 0x83, 0x84, 0x86]))], ERROR.protocol],
    ['a name in capitals', [headers(1, HEADERS_END, Buffer.concat([REQUEST, UPPER]))], ERROR.protocol],
    ['a path behind other fields', [headers(1, HEADERS_END, Buffer.concat([UPPER, REQUEST]))], ERROR.protocol],
    [
      'a field of HTTP/1',
      [headers(1, HEADERS_END, Buffer.concat([REQUEST, encodeFields([['connection', 'close']])]))],
      ERROR.protocol,
    ],
    ['room for nothing', [headers(1), wider(1, 0)], ERROR.protocol],
    ['content behind the end', [headers(1), content(1, 'a'), content(1, 'b')], ERROR.streamClosed],
    ['trailers behind the end', [headers(1), content(1, 'a'), headers(1, HEADERS_END | END)], ERROR.streamClosed],
    [
      'fields that are too many',
      [
        headers(
          1,
          HEADERS_END,
          Buffer.concat([
            REQUEST,
            ...Array.from({ length: 2 }, () => encodeFields([['x', 'y'.repeat(5_000)]])),
            Buffer.alloc(6_000, 0x83),
          ]),
        ),
      ],
      ERROR.enhanceYourCalm,
    ],
  ])('%s', (_, frames, code) => {
    const { say, hear, connection } = setUp({ waits: true })
    expect(say(...frames)).toBe(true)
    expect(codeOf(hear(), FRAME.rstStream)).toBe(code)
    expect(connection.streams.size).toBe(0)
    expect(say(headers(3))).toBe(true)
    expect(connection.streams.size).toBe(1)
  })
})

describe('what ends the connection', () => {
  test.each([
    ['another protocol', [Buffer.from('GET / HTTP/1.1\r\n')], ERROR.protocol],
    ['no settings', [PREFACE, ping()], ERROR.protocol],
    ['acknowledged settings first', [PREFACE, frameOf(FRAME.ping, ACK, 0, Buffer.alloc(8))], ERROR.protocol],
  ])('%s at its beginning', (_, frames, code) => {
    const { say, hear, connection } = setUp({ isSettled: false })
    expect(say(...frames)).toBe(false)
    expect(codeOf(hear(), FRAME.goAway)).toBe(code)
    expect(connection.receive(ping())).toBe(false)
    expect(hear()).toEqual([])
  })

  test.each([
    ['a frame that is too long', [frameOf(FRAME.data, 0, 1, Buffer.alloc(16_385))], ERROR.frameSize],
    ['an even stream', [headers(2)], ERROR.protocol],
    ['stream nothing', [headers(0)], ERROR.protocol],
    ['content of no stream', [content(1, 'x')], ERROR.protocol],
    ['content of the connection', [content(0, 'x')], ERROR.protocol],
    ['more padding than content', [headers(1), frameOf(FRAME.data, PADDED, 1, Buffer.from([5, 1, 2]))], ERROR.protocol],
    ['padding without a length', [headers(1), frameOf(FRAME.data, PADDED, 1, NOTHING)], ERROR.protocol],
    ['a reset of no stream', [reset(1)], ERROR.protocol],
    ['a reset of the connection', [reset(0)], ERROR.protocol],
    ['a reset of another length', [headers(1), frameOf(FRAME.rstStream, 0, 1, Buffer.alloc(3))], ERROR.frameSize],
    ['a ping of another length', [frameOf(FRAME.ping, 0, 0, Buffer.alloc(7))], ERROR.frameSize],
    ['a ping of a stream', [frameOf(FRAME.ping, 0, 1, Buffer.alloc(8))], ERROR.protocol],
    ['settings of a stream', [frameOf(FRAME.settings, 0, 1, NOTHING)], ERROR.protocol],
    ['half a setting', [frameOf(FRAME.settings, 0, 0, Buffer.alloc(5))], ERROR.frameSize],
    ['an acknowledgement that says something', [frameOf(FRAME.settings, ACK, 0, Buffer.alloc(6))], ERROR.frameSize],
    ['a window that is too wide', [settingsFrame([[SETTING.initialWindowSize, 2 ** 31]])], ERROR.flowControl],
    ['frames that are too small', [settingsFrame([[SETTING.maxFrameSize, 16_383]])], ERROR.protocol],
    ['half a push', [settingsFrame([[SETTING.enablePush, 2]])], ERROR.protocol],
    ['a window that becomes too wide', [wider(0, 2 ** 31 - 1)], ERROR.flowControl],
    ['a window of a stream that becomes too wide', [headers(1), wider(1, 2 ** 31 - 1)], ERROR.flowControl],
    [
      'windows that become too wide',
      [headers(1), wider(1, 2 ** 30), settingsFrame([[SETTING.initialWindowSize, 2 ** 31 - 1]])],
      ERROR.flowControl,
    ],
    ['room for nothing', [wider(0, 0)], ERROR.protocol],
    ['room for no stream', [wider(1, 1)], ERROR.protocol],
    ['a push', [frameOf(FRAME.pushPromise, HEADERS_END, 1, Buffer.alloc(4))], ERROR.protocol],
    ['going on with nothing', [frameOf(FRAME.continuation, HEADERS_END, 1, NOTHING)], ERROR.protocol],
    ['a frame within a block', [headers(1, 0), ping()], ERROR.protocol],
    [
      'a block that goes on elsewhere',
      [headers(1, 0), frameOf(FRAME.continuation, HEADERS_END, 3, NOTHING)],
      ERROR.protocol,
    ],
    ['trailers without an end', [headers(1), headers(1)], ERROR.protocol],
    ['a stream that goes away', [frameOf(FRAME.goAway, 0, 1, Buffer.alloc(8))], ERROR.protocol],
    ['fields that cannot be read', [headers(1, HEADERS_END, Buffer.from([0x80]))], ERROR.compression],
    [
      'a block without end',
      [headers(1, 0), ...Array.from({ length: 17 }, () => frameOf(FRAME.continuation, 0, 1, NOTHING))],
      ERROR.enhanceYourCalm,
    ],
    [
      'a block that is too long',
      [
        headers(1, 0, Buffer.alloc(16_384)),
        ...Array.from({ length: 2 }, () => frameOf(FRAME.continuation, 0, 1, Buffer.alloc(16_384))),
      ],
      ERROR.enhanceYourCalm,
    ],
  ])('%s', (_, frames, code) => {
    const { say, hear, connection } = setUp({ waits: true })
    expect(say(...frames)).toBe(false)
    expect(codeOf(hear(), FRAME.goAway)).toBe(code)
    expect(connection.streams.size).toBe(0)
  })

  test('more content than there is room for, of whatever streams', () => {
    const { connection, hear, opened } = setUp({ waits: true })
    const bytes = Buffer.concat([headers(1), content(1, 'c'.repeat(200), 0)])
    expect(connection.receive(bytes)).toBe(true)
    expect(opened).toHaveLength(1)
    hear()
    // Of streams that are gone, too.
    let used = 200
    let given = 2 ** 20
    for (let turn = 0; turn < 200; turn += 1) {
      expect(connection.receive(frameOf(FRAME.data, 0, 1, Buffer.alloc(16_384)))).toBe(true)
      used += 16_384
      for (const frame of hear()) if (frame.type === FRAME.windowUpdate) given += frame.content.readUInt32BE()
    }
    expect(given).toBeGreaterThanOrEqual(used)
  })
})

describe('a peer cannot make us', () => {
  const endlessly = (frames: (turn: number) => Buffer[], turns = 10_100) => {
    const world = setUp({ waits: true })
    let turn = 0
    while (turn < turns && world.say(...frames(turn))) turn += 1
    return { ...world, turn }
  }
  test.each([
    [
      'begin calls that it resets',
      (turn: number) => [headers(2 * turn + 1), content(2 * turn + 1, 'x'), reset(2 * turn + 1)],
    ],
    ['reset what it does wrong', (turn: number) => [headers(2 * turn + 1), wider(2 * turn + 1, 0)]],
    ['acknowledge settings', () => [settingsFrame([])]],
    ['read parts of nothing', (turn: number) => (turn === 0 ? [headers(1)] : [content(1, '', 0)])],
  ])('%s for ever', (_, frames) => {
    const { turn, hear, connection } = endlessly(frames)
    expect(turn).toBeGreaterThan(9_900)
    expect(turn).toBeLessThan(10_100)
    expect(codeOf(hear(), FRAME.goAway)).toBe(ERROR.enhanceYourCalm)
    expect(connection.streams.size).toBe(0)
  })

  test('mind what a gateway may do all the time', () => {
    const { say, pass } = setUp({ waits: true })
    for (let turn = 0; turn < 20_000; turn += 1) {
      expect(say(headers(2 * turn + 1), reset(2 * turn + 1), ping())).toBe(true)
      pass(1)
    }
  })

  test('keep more streams than we said', () => {
    const { say, hear, connection } = setUp({ waits: true })
    for (let id = 1; id <= 2_001; id += 2) expect(say(headers(id))).toBe(true)
    expect(connection.streams.size).toBe(1_000)
    expect(codeOf(hear(), FRAME.rstStream)).toBe(ERROR.refusedStream)
  })

  test('keep what it says before its calls', () => {
    // A field of the table, said again in a byte: joined, they would be 100 MiB.
    const again = Buffer.alloc(900, 0x80 | 62)
    const before = process.memoryUsage().heapUsed
    const worlds = Array.from({ length: 2 }, () => {
      const world = setUp({ waits: true })
      world.say(headers(1, HEADERS_END, Buffer.concat([REQUEST, Buffer.from([0x40, 1, 0x61, 1, 0x62])])))
      for (let id = 3; id < 2_000; id += 2) {
        const own = encodeFields([['id', String(id)]])
        expect(world.say(headers(id, HEADERS_END, Buffer.concat([REQUEST, own, again])))).toBe(true)
      }
      return world
    })
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(40 * 2 ** 20)
    expect(worlds.map(({ connection }) => connection.streams.size)).toEqual([1_000, 1_000])
  })

  test('begin anything after we have gone away, while what is under way ends', () => {
    const { say, hear, connection, opened } = setUp({ waits: true })
    say(headers(1), content(1, 'x'))
    connection.goAway()
    // Was on its way when we said so.
    say(headers(3), content(3, 'x'))
    expect(connection.isDone()).toBe(false)
    say(ping(ACK), headers(5), ping(ACK))
    expect(opened).toHaveLength(2)
    for (const stream of opened) connection.answer(stream, answerOf(Buffer.from('x')))
    const heard = hear()
    const goneAway = heard.filter(({ type }) => type === FRAME.goAway)
    expect(goneAway.map(frame => frame.content.readUInt32BE())).toEqual([2 ** 31 - 1, 3])
    expect(codeOf(heard, FRAME.rstStream)).toBe(ERROR.refusedStream)
    expect(heard.flatMap(({ type, id }) => (type === FRAME.data ? id : []))).toEqual([1, 3])
    expect(connection.isDone()).toBe(true)
  })

  test('believe that it is alive without an answer', () => {
    const { say, connection, hear } = setUp()
    connection.ping()
    expect([connection.isAlive(), hear().length]).toEqual([false, 1])
    say(ping())
    expect(connection.isAlive()).toBe(false)
    say(ping(ACK))
    expect(connection.isAlive()).toBe(true)
  })

  test('fail, with whatever frames', () => {
    const frame = fc
      .record({
        type: fc.oneof({ weight: 20, arbitrary: fc.nat({ max: 9 }) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) }),
        flags: fc.oneof(fc.constantFrom(0, 1, 4, 5), fc.nat({ max: 255 })),
        id: fc.oneof({ weight: 8, arbitrary: fc.constantFrom(0, 1, 3, 5, 7) }, { weight: 1, arbitrary: fc.nat() }),
        content: fc.oneof(
          fc.constantFrom(REQUEST, NOTHING, Buffer.alloc(4, 1), Buffer.alloc(8)),
          fc.uint8Array({ maxLength: 40 }),
        ),
      })
      .map(({ type, flags, id, content: bytes }) => frameOf(type, flags, id, bytes))
    const sane = fc.constantFrom(
      ...[headers(1), headers(3), headers(5), content(1, 'x'), content(3, 'y', 0), content(3, 'z'), reset(5), ping()],
      ...[wider(0, 10), wider(3, 10), settingsFrame([[SETTING.initialWindowSize, 1]])],
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(sane, frame), { maxLength: 40 }), fc.boolean(), (frames, waits) => {
        const { say, hear, connection, opened, events } = setUp({ waits })
        const isWell = frames.every(one => say(one))
        for (const stream of opened) connection.answer(stream, answerOf(Buffer.from('answer')))
        const heard = hear()
        expect(heard.some(({ type }) => type === FRAME.goAway)).toBe(!isWell)
        // Whatever was begun is under way, was answered, or was lost.
        const ended = heard
          .filter(({ type, flags }) => type === FRAME.headers && (flags & END) !== 0)
          .map(({ id }) => id)
        const lost = opened.filter(({ id }) => events.includes(`lost ${id}`)).map(({ id }) => id)
        expect(new Set(ended).size).toBe(ended.length)
        for (const { id } of opened) {
          expect([ended.includes(id), lost.includes(id), connection.streams.has(id)].filter(Boolean)).toHaveLength(1)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
