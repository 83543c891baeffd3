/**
 * Tells channels of alerts they do not know. What is to be told is in the control log, so nothing is forgotten by a restart
 * or while a channel is away; what was told just before a kill may be told twice, under the same id.
 */
import { createHash } from 'node:crypto'
import type { Logger } from 'pino'
import type { Control } from '../control/control.ts'
import { isOvertaken } from '../control/control-error.ts'
import { CHANNELS_MAX } from '../policy/quota-options.ts'
import { type Alert, readAlert } from './alert.ts'
import { type Channel, ChannelError, type Message, type Notice } from './channel.ts'
import { alertsTold, channelFailed } from './events.ts'

/** Alerts of one message; the others come in the next one. */
const NOTICES_MAX = 100
const SEND_MS_MAX = 10_000
/** Between attempts at a channel that fails. */
const RETRY_MS_MIN = 5_000
const RETRY_MS_MAX = 300_000
/** A channel that says when to come again is heard, but for no longer: what it is to be told is urgent. */
const RETRY_AFTER_MS_MAX = 3_600_000
const ID_CHARACTERS = 32
const BY = 'analyzer'

export interface ChannelStatus extends Pick<Channel, 'name' | 'kind'> {
  /** When it accepted a message last; `null` for not since the start. */
  toldAtMs: number | null
  /** When it did not accept one last; `null` for not since the start. */
  failedAtMs: number | null
  /** Why the last message was not accepted, or `null`. */
  failure: string | null
}

export interface TellingDeps {
  control: Pick<Control, 'current' | 'change'>
  channels: readonly Channel[]
  groupMs: number
  now: () => number
  logger: Logger
}

export interface Telling {
  /** Begins to tell each channel that is free what it does not know of these, the worst first. */
  tell(alerts: readonly (readonly [key: string, alert: Alert])[]): void
  /** Sends a message without alerts; false when there is no such channel. Throws `ChannelError`. */
  test(name: string): Promise<boolean>
  status(): ChannelStatus[]
  /** Gives up what is under way. */
  close(): Promise<void>
}

interface Told {
  key: string
  notice: Notice
}

interface State extends Pick<ChannelStatus, 'toldAtMs' | 'failedAtMs' | 'failure'> {
  failures: number
  /** Of one message: half as many after one that it refused, twice as many after one that it accepted. */
  noticesMax: number
  /** Keys of alerts that it refused when told of nothing else: it is told of all others first. */
  refused: Set<string>
  /** It is told of nothing more for so long. */
  restMs: number
  restsFromMs: number
  sending: Promise<void> | null
  /** Ids of what it has accepted and the control log does not know yet. */
  unmarked: Set<string>
}

export function createTelling({ control, channels, groupMs, now, logger }: TellingDeps): Telling {
  const closing = new AbortController()
  const states = new Map<Channel, State>(
    channels.map(channel => [
      channel,
      {
        ...{ toldAtMs: null, failedAtMs: null, failure: null, failures: 0, noticesMax: NOTICES_MAX },
        ...{ restMs: 0, restsFromMs: 0, sending: null, refused: new Set(), unmarked: new Set() },
      },
    ]),
  )
  const send = (channel: Channel, message: Message) =>
    channel.send(message, AbortSignal.any([closing.signal, AbortSignal.timeout(SEND_MS_MAX)]))

  const sendNews = async (channel: Channel, state: State, news: readonly Told[]) => {
    try {
      const notices = news.map(({ notice }) => notice)
      await send(channel, toMessage(notices, now()))
      for (const { id } of notices) state.unmarked.add(id)
      alertsTold(logger, { channel: channel.name, alerts: news.length })
      const noticesMax = Math.min(NOTICES_MAX, 2 * state.noticesMax)
      const toldAtMs = now()
      const rest = { restMs: groupMs, restsFromMs: toldAtMs }
      Object.assign(state, { toldAtMs, failure: null, failures: 0, noticesMax, ...rest })
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error)
      if (!closing.signal.aborted) channelFailed(logger, { channel: channel.name, failure }, failure !== state.failure)
      const backOffMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(state.failures, 16))
      const saidMs = error instanceof ChannelError ? Math.min(RETRY_AFTER_MS_MAX, error.retryAfterMs) : 0
      const failedAtMs = now()
      const rest = { restMs: Math.max(backOffMs, saidMs), restsFromMs: failedAtMs }
      if (error instanceof ChannelError && error.isRefused) {
        state.noticesMax = Math.ceil(news.length / 2)
        const [alone, ...others] = news
        if (alone && others.length === 0) state.refused.add(alone.key)
      }
      Object.assign(state, { failure, failedAtMs, failures: state.failures + 1, ...rest })
    }
  }
  const tellOne = async (channel: Channel, state: State, told: readonly Told[]) => {
    const news = told.filter(({ notice }) => !state.unmarked.has(notice.id))
    if (news.length > 0) await sendNews(channel, state, news)
    const marks = told
      .filter(({ notice }) => state.unmarked.has(notice.id))
      .map(async one => {
        await markTold(control, one, channel.name)
        state.unmarked.delete(one.notice.id)
      })
    // While the control log is away what was accepted is not sent again, only marked later.
    await Promise.allSettled(marks)
    state.sending = null
  }
  return {
    tell(alerts) {
      for (const [channel, state] of states) {
        if (state.sending !== null || isResting(state, now()) || closing.signal.aborted) continue
        const told = nextFor(channel, state, alerts)
        if (told.length > 0) state.sending = tellOne(channel, state, told)
        else state.unmarked.clear()
      }
    },
    async test(name) {
      const channel = channels.find(one => one.name === name)
      if (channel !== undefined) await send(channel, toMessage([], now()))
      return channel !== undefined
    },
    status: () =>
      [...states].map(([{ name, kind }, { toldAtMs, failedAtMs, failure }]) => ({
        ...{ name, kind, toldAtMs, failedAtMs, failure },
      })),
    async close() {
      closing.abort()
      await Promise.all([...states.values()].map(({ sending }) => sending))
    },
  }
}

/** Not before it began to either: the clock was set back since. */
const isResting = ({ restMs, restsFromMs }: State, nowMs: number): boolean =>
  nowMs >= restsFromMs && nowMs < restsFromMs + restMs

/** Of the alerts that the channel does not know, those that it is told next. */
function nextFor({ name }: Channel, state: State, alerts: Parameters<Telling['tell']>[0]): Told[] {
  const waiting = alerts.filter(([, { untold }]) => untold.includes(name))
  state.refused = state.refused.intersection(new Set(waiting.map(([key]) => key)))
  const isRefused = ([key]: (typeof waiting)[number]) => state.refused.has(key)
  return [...waiting.filter(one => !isRefused(one)), ...waiting.filter(isRefused)]
    .slice(0, state.noticesMax)
    .map(([key, alert]) => ({ key, notice: toNotice(key, alert) }))
}

const idOf = (...parts: readonly (string | number | null)[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, ID_CHARACTERS)

function toNotice(key: string, { told: _told, toldBefore: _before, untold: _untold, ...alert }: Alert): Notice {
  return { id: idOf(key, alert.sinceMs, alert.level, alert.endedAtMs), ...alert }
}

function toMessage(notices: readonly Notice[], sentAtMs: number): Message {
  const id = notices.length === 0 ? idOf('test', sentAtMs) : idOf(...notices.map(notice => notice.id))
  return { id, sentAtMs, notices }
}

/** Notes that the channel knows, unless there is something newer to tell. The other channels do so meanwhile. */
async function markTold(control: TellingDeps['control'], { key, notice }: Told, channel: string): Promise<void> {
  for (let attempt = 0; attempt < CHANNELS_MAX; attempt++) {
    const { version, value } = control.current('alert', key)
    const alert = readAlert(value)
    if (alert === null || toNotice(key, alert).id !== notice.id || !alert.untold.includes(channel)) return
    const untold = alert.untold.filter(name => name !== channel)
    const told = [...(alert.told ?? []), channel]
    const isOver = alert.endedAtMs !== null && untold.length === 0
    try {
      // With what only a later version knows of it.
      const next = isOver ? null : { ...(value as Alert), told, untold }
      await control.change({ kind: 'alert', key, version, value: next, by: BY, reason: `Told ${channel}.` })
      return
    } catch (error) {
      if (!isOvertaken(error)) throw error
    }
  }
}
