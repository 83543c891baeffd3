/** The frames that are about the connection: RFC 9113 sections 6.5, 6.7 and 6.9. */
import { breakOff, type Frame, NOTHING, protocolError, type State, sizeError } from './connection-state.ts'
import {
  ERROR,
  FLAG,
  FRAME,
  FRAME_BYTES_MAX,
  frameOf,
  goAwayFrame,
  Http2Error,
  SETTING,
  SETTING_BYTES,
  UINT31_MAX,
} from './frames.ts'
import type { Outgoing } from './streams.ts'

export function onSettings<T>(state: State<T>, { flags, id, content }: Frame): void {
  if (id !== 0) throw protocolError('settings are of the connection')
  if ((flags & FLAG.ack) !== 0) {
    if (content.length !== 0) throw sizeError()
    return
  }
  if (content.length % SETTING_BYTES !== 0) throw sizeError()
  state.waste()
  state.isSettled = true
  // Of those that are said twice the last one holds, and each is made true once.
  const settings = new Map<number, number>()
  for (let at = 0; at < content.length; at += SETTING_BYTES) {
    settings.set(content.readUInt16BE(at), content.readUInt32BE(at + 2))
  }
  for (const [setting, value] of settings) setSetting(state.out, setting, value)
  state.out.write(frameOf(FRAME.settings, FLAG.ack, 0, NOTHING))
}

function setSetting<T>(out: Outgoing<T>, setting: number, value: number): void {
  if (setting === SETTING.initialWindowSize) {
    if (value > UINT31_MAX) throw new Http2Error(ERROR.flowControl, 'the window is too wide')
    out.setInitialWindow(value)
  } else if (setting === SETTING.maxFrameSize) {
    if (value < FRAME_BYTES_MAX || value >= 2 ** 24) throw protocolError('frames of such a size there are none')
    out.setFrameBytesMax(value)
  } else if (setting === SETTING.enablePush && value > 1) {
    throw protocolError('push is on or off')
  }
}

export function onPing<T>(state: State<T>, { flags, id, content }: Frame): void {
  if (id !== 0) throw protocolError('pings are of the connection')
  if (content.length !== 8) throw sizeError()
  if ((flags & FLAG.ack) !== 0) {
    state.isAlive = true
    if (state.isLeaving) leave(state)
    return
  }
  state.out.write(frameOf(FRAME.ping, FLAG.ack, 0, content))
}

/** What we have said is known, and whatever comes now was opened after that. */
function leave<T>(state: State<T>): void {
  state.isLeaving = false
  state.isClosing = true
  state.out.write(goAwayFrame(state.lastId, ERROR.none))
}

export function onWindowUpdate<T>(state: State<T>, { id, content }: Frame): void {
  if (content.length !== 4) throw sizeError()
  if (id > state.lastId) throw protocolError('a stream that is not there gets room')
  const bytes = content.readUInt32BE() & UINT31_MAX
  if (bytes > 0) {
    state.out.widen(id, bytes)
    return
  }
  if (id === 0) throw protocolError('room for nothing')
  breakOff(state, id, ERROR.protocol)
}
