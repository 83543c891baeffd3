/** The frames that requests are made of: RFC 9113 sections 6.1, 6.2, 6.4 and 6.10. */
import {
  breakOff,
  CONNECTION_WINDOW_BYTES,
  type Frame,
  lose,
  NOTHING,
  protocolError,
  type State,
  sizeError,
  windowOf,
} from './connection-state.ts'
import { ERROR, FLAG, FRAME, Http2Error, numberFrame } from './frames.ts'
import type { Stream } from './streams.ts'

export const STREAMS_MAX = 1_000

/** Without its padding, and without the priority that may be before it. */
function contentOf({ flags, content }: Frame, headBytes: number): Buffer {
  const isPadded = (flags & FLAG.padded) !== 0
  const from = (isPadded ? 1 : 0) + headBytes
  const to = content.length - (isPadded ? (content[0] ?? 0) : 0)
  if (from > to) throw protocolError('there is more padding than frame')
  return from === 0 && to === content.length ? content : content.subarray(from, to)
}

export function onHeaders<T>(state: State<T>, frame: Frame): void {
  const { flags, id } = frame
  if (id % 2 === 0) throw protocolError('clients open odd streams')
  const block = contentOf(frame, (flags & FLAG.priority) === 0 ? 0 : 5)
  const isEnd = (flags & FLAG.endStream) !== 0
  if ((flags & FLAG.endHeaders) !== 0) onBlock(state, { id, isEnd, block })
  else state.blocks.begin(id, isEnd, block)
}

export function onContinuation<T>(state: State<T>, { flags, id, content }: Frame): void {
  const whole = state.blocks.continue(id, content, (flags & FLAG.endHeaders) !== 0)
  if (whole !== null) onBlock(state, whole)
}

function onBlock<T>(state: State<T>, { id, isEnd, block }: { id: number; isEnd: boolean; block: Buffer }): void {
  const { out, deps, blocks } = state
  const isNew = id > state.lastId
  // Read in any case, as it changes the table.
  const headers = blocks.read(block, isNew)
  const known = out.streams.get(id)
  if (known !== undefined) {
    // Trailers, which tell us nothing.
    if (known.isReceived) {
      breakOff(state, id, ERROR.streamClosed)
      return
    }
    if (!isEnd) throw protocolError('trailers end their stream')
    receiveLast(state, known, NOTHING)
    return
  }
  // Trailers of a request that was answered before.
  if (!isNew) return
  state.lastId = id
  if (state.isClosing || out.streams.size >= STREAMS_MAX) {
    breakOff(state, id, ERROR.refusedStream)
    return
  }
  if (headers === 'too_many') {
    breakOff(state, id, ERROR.enhanceYourCalm)
    return
  }
  if (headers === 'malformed') {
    breakOff(state, id, ERROR.protocol)
    return
  }
  const stream: Stream<T> = {
    ...{ id, own: null, receiveWindow: windowOf(deps), sendWindow: out.initialWindow() },
    ...{ isReceived: false, isOver: false, unsent: null },
  }
  out.streams.set(id, stream)
  deps.handler.opened(stream, headers)
  if (isEnd) receiveLast(state, stream, NOTHING)
}

function receiveLast<T>({ deps }: State<T>, stream: Stream<T>, part: Buffer): void {
  stream.isReceived = true
  if (!stream.isOver) deps.handler.received(stream, part, true)
}

export function onData<T>(state: State<T>, frame: Frame): void {
  const { id, flags, content } = frame
  const part = contentOf(frame, 0)
  state.receiveWindow -= content.length
  if (state.receiveWindow < 0) throw new Http2Error(ERROR.flowControl, 'more than there is room for')
  if (state.receiveWindow < CONNECTION_WINDOW_BYTES / 2) {
    state.out.write(numberFrame(FRAME.windowUpdate, 0, CONNECTION_WINDOW_BYTES - state.receiveWindow))
    state.receiveWindow = CONNECTION_WINDOW_BYTES
  }
  const stream = state.out.streams.get(id)
  if (stream === undefined) {
    if (id === 0 || id > state.lastId) throw protocolError('content of no stream')
    return
  }
  if (stream.isReceived) {
    breakOff(state, id, ERROR.streamClosed)
    return
  }
  stream.receiveWindow -= content.length
  if (stream.receiveWindow < 0) {
    breakOff(state, id, ERROR.flowControl)
    return
  }
  if ((flags & FLAG.endStream) !== 0) {
    receiveLast(state, stream, part)
    return
  }
  if (part.length === 0) {
    state.waste()
    return
  }
  state.deps.handler.received(stream, part, false)
}

export function onReset<T>(state: State<T>, { id, content }: Frame): void {
  if (content.length !== 4) throw sizeError()
  if (id === 0 || id > state.lastId) throw protocolError('a stream that is not there is reset')
  const stream = state.out.streams.get(id)
  if (stream === undefined) return
  state.waste()
  lose(state, stream)
}
