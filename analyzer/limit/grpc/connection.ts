/**
 * One HTTP/2 connection from the server's side, as far as unary calls need it: no push, no priorities, no table for
 * what we send. Bytes in, bytes out; whoever has the socket carries them. Everything that a peer can make us keep or do
 * is bounded, and a peer that does not keep to RFC 9113 ends its connection (GOAWAY) or its stream (RST_STREAM).
 */
import { createAllowance } from './allowance.ts'
import {
  CONNECTION_WINDOW_BYTES,
  type ConnectionDeps,
  type Frame,
  lose,
  NOTHING,
  protocolError,
  type State,
  sizeError,
  windowOf,
} from './connection-state.ts'
import { onPing, onSettings, onWindowUpdate } from './control-frames.ts'
import {
  ERROR,
  FRAME,
  FRAME_BYTES_MAX,
  FRAME_HEAD_BYTES,
  frameOf,
  goAwayFrame,
  Http2Error,
  numberFrame,
  PREFACE,
  SETTING,
  settingsFrame,
  UINT31_MAX,
  WINDOW_BYTES,
} from './frames.ts'
import { createHeaderBlocks } from './header-blocks.ts'
import { onContinuation, onData, onHeaders, onReset, STREAMS_MAX } from './request-frames.ts'
import { createOutgoing, type Outgoing, type Stream } from './streams.ts'

/**
 * What a peer takes back, does wrong, or says for nothing. A gateway that gives up on calls in mass resets their
 * streams; far more than that is an attack. Pings are not among it, as some clients measure with them all the time: who
 * does not read our answers is not read any more (server.ts).
 */
const WASTE_BURST = 10_000
const WASTE_PER_SECOND = 1_000

export interface Connection<T> extends Pick<Outgoing<T>, 'streams' | 'answer' | 'refuse' | 'take'> {
  /** False when the peer is to be cut off once what there is to `take` is sent. */
  receive(bytes: Buffer): boolean
  /** Breaks off a stream whose answer is late, or is not taken. */
  cancel(stream: Stream<T>): void
  ping(): void
  /** Whether the peer has answered the last ping. */
  isAlive(): boolean
  /** Says that no more streams are taken, and takes none when the peer has answered: RFC 9113 section 6.8. */
  goAway(): void
  /** Nothing comes, nothing is under way. */
  isDone(): boolean
  /** The peer is gone. */
  lost(): void
}

/** Our settings are the first that there is to `take`. */
export function createConnection<T>(deps: ConnectionDeps<T>): Connection<T> {
  const out = createOutgoing<T>(deps.wantsFlush)
  const allowance = createAllowance(WASTE_BURST, WASTE_PER_SECOND, deps.nowMs)
  const state: State<T> = {
    deps,
    out,
    blocks: createHeaderBlocks(),
    waste() {
      if (!allowance.take()) throw new Http2Error(ERROR.enhanceYourCalm, 'too much for nothing')
    },
    rest: NOTHING,
    isPrefaced: false,
    isSettled: false,
    isLeaving: false,
    isClosing: false,
    isAlive: true,
    lastId: 0,
    receiveWindow: CONNECTION_WINDOW_BYTES,
  }
  out.write(
    settingsFrame([
      [SETTING.maxConcurrentStreams, STREAMS_MAX],
      [SETTING.initialWindowSize, windowOf(deps)],
      [SETTING.maxHeaderListSize, state.blocks.listBytesMax],
    ]),
  )
  out.write(numberFrame(FRAME.windowUpdate, 0, CONNECTION_WINDOW_BYTES - WINDOW_BYTES))
  const end = () => {
    state.isClosing = true
    for (const stream of out.streams.values()) lose(state, stream)
    state.rest = NOTHING
  }
  const ping = () => {
    state.isAlive = false
    out.write(frameOf(FRAME.ping, 0, 0, Buffer.alloc(8)))
  }
  let isOver = false
  return {
    streams: out.streams,
    answer: out.answer,
    refuse: out.refuse,
    take: out.take,
    receive(bytes) {
      if (isOver) return false
      try {
        receive(state, bytes)
        return true
      } catch (error) {
        if (!(error instanceof Http2Error)) throw error
        isOver = true
        out.write(goAwayFrame(state.lastId, error.code))
        end()
        return false
      }
    },
    cancel(stream) {
      out.reset(stream.id, ERROR.cancel)
      lose(state, stream)
    },
    ping,
    isAlive: () => state.isAlive,
    goAway() {
      state.isLeaving = true
      out.write(goAwayFrame(UINT31_MAX, ERROR.none))
      ping()
    },
    isDone: () => state.isClosing && out.streams.size === 0,
    lost() {
      isOver = true
      end()
    },
  }
}

function receive<T>(state: State<T>, chunk: Buffer): void {
  const bytes = state.rest.length === 0 ? chunk : Buffer.concat([state.rest, chunk])
  let at = 0
  if (!state.isPrefaced) {
    const there = Math.min(bytes.length, PREFACE.length)
    if (PREFACE.compare(bytes, 0, there, 0, there) !== 0) throw protocolError('this is not HTTP/2')
    state.isPrefaced = there === PREFACE.length
    if (state.isPrefaced) at = there
  }
  while (state.isPrefaced && bytes.length - at >= FRAME_HEAD_BYTES) {
    const length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    if (length > FRAME_BYTES_MAX) throw sizeError()
    const from = at + FRAME_HEAD_BYTES
    if (bytes.length - from < length) break
    at = from + length
    const id = bytes.readUInt32BE(from - 4) & UINT31_MAX
    onFrame(state, { type: bytes[from - 6] ?? 0, flags: bytes[from - 5] ?? 0, id, content: bytes.subarray(from, at) })
  }
  // A copy, so that what came with it goes.
  state.rest = at === bytes.length ? NOTHING : Buffer.from(bytes.subarray(at))
}

function onFrame<T>(state: State<T>, frame: Frame): void {
  const { type, id } = frame
  if (!state.isSettled && type !== FRAME.settings) throw protocolError('settings come first')
  if (state.blocks.isOpen() && type !== FRAME.continuation) throw protocolError('a block of fields is not whole')
  switch (type) {
    case FRAME.data:
      onData(state, frame)
      break
    case FRAME.headers:
      onHeaders(state, frame)
      break
    case FRAME.continuation:
      onContinuation(state, frame)
      break
    case FRAME.rstStream:
      onReset(state, frame)
      break
    case FRAME.settings:
      onSettings(state, frame)
      break
    case FRAME.ping:
      onPing(state, frame)
      break
    case FRAME.windowUpdate:
      onWindowUpdate(state, frame)
      break
    case FRAME.pushPromise:
      throw protocolError('clients push nothing')
    case FRAME.goAway:
      if (id !== 0) throw protocolError('a connection goes away, not a stream')
      break
    default:
    // Priorities, and what we do not know, say nothing to us.
  }
}
