/** Streams of one connection and what is on its way out: windows of flow control, and answers that wait for them. */
import {
  ERROR,
  type ErrorCode,
  FLAG,
  FRAME,
  FRAME_BYTES_MAX,
  FRAME_HEAD_BYTES,
  frameOf,
  Http2Error,
  numberFrame,
  UINT31_MAX,
  WINDOW_BYTES,
  writeHead,
} from './frames.ts'
import { NO_TABLE } from './hpack.ts'

/** One request; `own` is for whoever answers it. */
export interface Stream<T> {
  readonly id: number
  own: T | null
  /** What its sender may still send; it is never told that there is more room. */
  receiveWindow: number
  sendWindow: number
  /** The request is whole. */
  isReceived: boolean
  /** Answered, reset, or its connection is gone. */
  isOver: boolean
  /** What of the answer does not fit into the windows yet. */
  unsent: Answer | null
}

/** The blocks of header fields, and the content between them; without trailers the head is all there is. */
export interface Answer {
  readonly head: Buffer
  readonly content: Buffer
  readonly trailers: Buffer
}

export interface Outgoing<T> {
  readonly streams: Map<number, Stream<T>>
  /** Sends these bytes. */
  write(bytes: Buffer): void
  /** Answers a request and ends it. */
  answer(stream: Stream<T>, answer: Answer): void
  /** Answers with nothing but header fields. */
  refuse(stream: Stream<T>, head: Buffer): void
  reset(id: number, code: ErrorCode): void
  /** Forgets a stream that its sender has given up. */
  drop(stream: Stream<T>): void
  /** The peer takes so much more: of all streams (0), or of one. */
  widen(id: number, bytes: number): void
  /** The peer's settings. */
  setInitialWindow(bytes: number): void
  setFrameBytesMax(bytes: number): void
  initialWindow(): number
  /** What is to be written; `null` for nothing. */
  take(): Buffer | null
}

interface State<T> {
  readonly wantsFlush: () => void
  readonly streams: Map<number, Stream<T>>
  /** For room in the connection's window; those that wait for their own are found by their id. */
  readonly waiting: Set<Stream<T>>
  out: Buffer[]
  isFirstBlock: boolean
  window: number
  initialWindow: number
  frameBytesMax: number
}

/** `wantsFlush` is called when there is something to `take`, once until it is taken. */
export function createOutgoing<T>(wantsFlush: () => void): Outgoing<T> {
  const state: State<T> = {
    ...{ wantsFlush, streams: new Map(), waiting: new Set(), out: [], isFirstBlock: true },
    ...{ window: WINDOW_BYTES, initialWindow: WINDOW_BYTES, frameBytesMax: FRAME_BYTES_MAX },
  }
  return {
    streams: state.streams,
    write: bytes => write(state, bytes),
    reset: (id, code) => write(state, numberFrame(FRAME.rstStream, id, code)),
    drop: stream => drop(state, stream),
    answer: (stream, given) => answer(state, stream, given),
    refuse(stream, head) {
      if (stream.isOver || stream.unsent !== null) return
      write(state, frameOf(FRAME.headers, FLAG.endHeaders | FLAG.endStream, stream.id, blockOf(state, head)))
      end(state, stream)
    },
    widen: (id, bytes) => widen(state, id, bytes),
    setInitialWindow(bytes) {
      for (const stream of state.streams.values()) {
        stream.sendWindow = widened(stream.sendWindow, bytes - state.initialWindow)
        goOn(state, stream)
      }
      state.initialWindow = bytes
    },
    setFrameBytesMax(bytes) {
      state.frameBytesMax = bytes
    },
    initialWindow: () => state.initialWindow,
    take() {
      const { out } = state
      const [first] = out
      if (first === undefined) return null
      state.out = []
      return out.length === 1 ? first : Buffer.concat(out)
    },
  }
}

function write<T>(state: State<T>, bytes: Buffer): void {
  if (state.out.length === 0) state.wantsFlush()
  state.out.push(bytes)
}

function drop<T>({ waiting, streams }: State<T>, stream: Stream<T>): void {
  stream.isOver = true
  waiting.delete(stream)
  streams.delete(stream.id)
}

function end<T>(state: State<T>, stream: Stream<T>): void {
  drop(state, stream)
  // What its sender still has to say is not waited for.
  if (!stream.isReceived) write(state, numberFrame(FRAME.rstStream, stream.id, ERROR.none))
}

function blockOf<T>(state: State<T>, head: Buffer): Buffer {
  if (!state.isFirstBlock) return head
  state.isFirstBlock = false
  return Buffer.concat([NO_TABLE, head])
}

function answer<T>(state: State<T>, stream: Stream<T>, given: Answer): void {
  if (stream.isOver || stream.unsent !== null) return
  const { content } = given
  const head = blockOf(state, given.head)
  if (content.length <= Math.min(state.frameBytesMax, state.window, stream.sendWindow)) {
    state.window -= content.length
    write(state, wholeAnswer(stream.id, { ...given, head }))
    end(state, stream)
    return
  }
  write(state, frameOf(FRAME.headers, FLAG.endHeaders, stream.id, head))
  send(state, stream, given)
}

/** The content as far as there is room for it, then the end. */
function send<T>(state: State<T>, stream: Stream<T>, { head, content, trailers }: Answer): void {
  let from = 0
  while (from < content.length) {
    const length = Math.min(content.length - from, state.frameBytesMax, state.window, stream.sendWindow)
    if (length <= 0) {
      stream.unsent = { head, content: content.subarray(from), trailers }
      if (state.window <= 0) state.waiting.add(stream)
      return
    }
    write(state, frameOf(FRAME.data, 0, stream.id, content.subarray(from, from + length)))
    state.window -= length
    stream.sendWindow -= length
    from += length
  }
  write(state, frameOf(FRAME.headers, FLAG.endHeaders | FLAG.endStream, stream.id, trailers))
  end(state, stream)
}

function goOn<T>(state: State<T>, stream: Stream<T>): void {
  if (stream.unsent !== null && !state.waiting.has(stream)) send(state, stream, stream.unsent)
}

function widen<T>(state: State<T>, id: number, bytes: number): void {
  if (id !== 0) {
    const stream = state.streams.get(id)
    if (stream === undefined) return
    stream.sendWindow = widened(stream.sendWindow, bytes)
    goOn(state, stream)
    return
  }
  state.window = widened(state.window, bytes)
  for (const stream of state.waiting) {
    if (state.window <= 0) return
    state.waiting.delete(stream)
    goOn(state, stream)
  }
}

function widened(window: number, bytes: number): number {
  if (window + bytes > UINT31_MAX) throw new Http2Error(ERROR.flowControl, 'a window is too wide')
  return window + bytes
}

/** All of it at once, as most answers are. */
function wholeAnswer(id: number, { head, content, trailers }: Answer): Buffer {
  const bytes = Buffer.allocUnsafe(3 * FRAME_HEAD_BYTES + head.length + content.length + trailers.length)
  const put = (at: number, type: number, flags: number, part: Buffer) => {
    const from = writeHead(bytes, at, { length: part.length, type, flags, id })
    bytes.set(part, from)
    return from + part.length
  }
  const afterHead = put(0, FRAME.headers, FLAG.endHeaders, head)
  const afterContent = put(afterHead, FRAME.data, 0, content)
  put(afterContent, FRAME.headers, FLAG.endHeaders | FLAG.endStream, trailers)
  return bytes
}
