/** HTTP/2 on the wire: https://www.rfc-editor.org/rfc/rfc9113 */

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const

export const ERROR = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const
export type ErrorCode = (typeof ERROR)[keyof typeof ERROR]

export const SETTING = {
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
export const FRAME_HEAD_BYTES = 9
export const SETTING_BYTES = 6
/** Of the content of a frame; the default of both sides, which ours stays. */
export const FRAME_BYTES_MAX = 16_384
/** The default of every window. */
export const WINDOW_BYTES = 65_535
/** Of windows and of stream ids. */
export const UINT31_MAX = 0x7f_ff_ff_ff

/** A peer that does not keep to the protocol: the end of its connection. */
export class Http2Error extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string) {
    super(message)
    this.name = 'Http2Error'
    this.code = code
  }
}

/** Writes the head of a frame at `at`; answers where its content begins. */
export function writeHead(
  bytes: Buffer,
  at: number,
  { length, type, flags, id }: { length: number; type: number; flags: number; id: number },
): number {
  bytes[at] = length >>> 16
  bytes[at + 1] = (length >>> 8) & 0xff
  bytes[at + 2] = length & 0xff
  bytes[at + 3] = type
  bytes[at + 4] = flags
  bytes.writeUInt32BE(id, at + 5)
  return at + FRAME_HEAD_BYTES
}

export function frameOf(type: number, flags: number, id: number, content: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEAD_BYTES + content.length)
  bytes.set(content, writeHead(bytes, 0, { length: content.length, type, flags, id }))
  return bytes
}

/** A frame of one number of four bytes. */
export function numberFrame(type: number, id: number, number: number): Buffer {
  const content = Buffer.allocUnsafe(4)
  content.writeUInt32BE(number)
  return frameOf(type, 0, id, content)
}

export function settingsFrame(settings: readonly (readonly [setting: number, value: number])[]): Buffer {
  const content = Buffer.alloc(settings.length * SETTING_BYTES)
  for (const [index, [setting, value]] of settings.entries()) {
    content.writeUInt16BE(setting, index * SETTING_BYTES)
    content.writeUInt32BE(value, index * SETTING_BYTES + 2)
  }
  return frameOf(FRAME.settings, 0, 0, content)
}

/** Nothing after the stream `lastId` is taken. */
export function goAwayFrame(lastId: number, code: ErrorCode): Buffer {
  const content = Buffer.allocUnsafe(8)
  content.writeUInt32BE(lastId, 0)
  content.writeUInt32BE(code, 4)
  return frameOf(FRAME.goAway, 0, 0, content)
}
