/** What a connection is made of, and what its parts share. */
import { ERROR, type ErrorCode, Http2Error } from './frames.ts'
import type { HeaderBlocks } from './header-blocks.ts'
import type { RequestHeaders } from './request-headers.ts'
import type { Outgoing, Stream } from './streams.ts'

/** Of all streams together, before we say that there is room again. */
export const CONNECTION_WINDOW_BYTES = 2 ** 20
export const NOTHING = Buffer.alloc(0)

/** What becomes of requests. */
export interface StreamHandler<T> {
  /** Its header fields are there: to be read now, not kept, as they may be far more than the rest of a stream. */
  opened(stream: Stream<T>, headers: RequestHeaders): void
  /** A part of its content, in bytes that others are in, too; the last one may be empty. */
  received(stream: Stream<T>, part: Buffer, isLast: boolean): void
  /** Given up by its sender, or by us for what its sender did. */
  lost(stream: Stream<T>): void
}

export interface ConnectionDeps<T> {
  handler: StreamHandler<T>
  /** Of the content of one request. */
  contentBytesMax: number
  nowMs: () => number
  /** There is something to `take`. */
  wantsFlush: () => void
}

export interface State<T> {
  readonly deps: ConnectionDeps<T>
  readonly out: Outgoing<T>
  readonly blocks: HeaderBlocks
  /** Throws when the peer has done too much of it. */
  readonly waste: () => void
  /** The part of a frame that is there. */
  rest: Buffer
  isPrefaced: boolean
  isSettled: boolean
  /** We have said that we go away; streams that were opened before that is known are taken. */
  isLeaving: boolean
  isClosing: boolean
  isAlive: boolean
  lastId: number
  receiveWindow: number
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly content: Buffer
}

/** Wide enough that one byte too many arrives, and is told from a whole request. */
export const windowOf = ({ contentBytesMax }: Pick<ConnectionDeps<unknown>, 'contentBytesMax'>) => 2 * contentBytesMax

/** Forgets a stream whose answer nobody waits for any more, and says so. */
export function lose<T>({ out, deps }: State<T>, stream: Stream<T>): void {
  out.drop(stream)
  deps.handler.lost(stream)
}

/** What its sender did wrong ends the stream, and not too many of them. */
export function breakOff<T>(state: State<T>, id: number, code: ErrorCode): void {
  state.waste()
  state.out.reset(id, code)
  const stream = state.out.streams.get(id)
  if (stream !== undefined) lose(state, stream)
}

export const protocolError = (what: string) => new Http2Error(ERROR.protocol, what)
export const sizeError = () => new Http2Error(ERROR.frameSize, 'a frame has another length')
