/**
 * Alerts: what somebody should know before it hurts. After each tick its forecasts are judged (judging.ts); alerts that
 * begin or end are changes of the control log, so that a restart, or another analyzer, tells nothing twice; channels are
 * told from there (telling.ts).
 */
import type { Logger } from 'pino'
import type { Control } from '../control/control.ts'
import { isOvertaken } from '../control/control-error.ts'
import type { Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { type Alert, readAlert } from './alert.ts'
import type { Channel } from './channel.ts'
import { alertsHeld, alertsWaiting } from './events.ts'
import { type AlertForecast, createJudge, urgencyOf, whoseIs } from './judging.ts'
import { silencesNow } from './silences.ts'
import { type ChannelStatus, createTelling } from './telling.ts'
import { title } from './words.ts'

/** Changes in one tick, the most urgent first; others wait for the next. */
const CHANGES_MAX = 100
const BY = 'analyzer'

export interface AlertingDeps {
  control: Pick<Control, 'current' | 'keys' | 'change'>
  policy: () => Policy
  /** True for subjects that this analyzer has to follow, whether or not anything is known of them. */
  isOwn: (quota: Pick<Quota, 'name' | 'per'>, subject: readonly string[]) => boolean
  channels: readonly Channel[]
  /** A channel gets at most one message in so long. */
  groupMs: number
  now: () => number
  logger: Logger
}

/** What a tick has made. */
interface Judged {
  /** When it looked; forecasts that were just made are as of then. */
  asOfMs: number | null
  forecasts: readonly AlertForecast[]
  find: (quota: string, subject: readonly string[]) => AlertForecast | undefined
}

export interface Alerting {
  /** Judges, and begins to tell. Does not throw: a control log that is away is tried again with the next tick. */
  follow(judged: Judged): Promise<void>
  /** Goes on to tell what is held, where there is nothing to judge. */
  tell(): void
  /** Alerts that are held, by their keys. */
  held(): ReadonlyMap<string, Alert>
  /** Answers of an alert until when nobody is told of it; `null`: whoever should be is. */
  silencedUntil(): (alert: Alert) => number | null
  channels(): ChannelStatus[]
  /** Sends a message without alerts; false when there is no such channel. Throws `ChannelError`. */
  test(channel: string): Promise<boolean>
  close(): Promise<void>
}

export function createAlerting(deps: AlertingDeps): Alerting {
  const { control, policy, isOwn, channels, now, logger } = deps
  const judge = createJudge()
  const telling = createTelling(deps)
  const names = channels.map(({ name }) => name)
  // A rate is used up whenever somebody is fast, and has something left a moment later.
  const channelsOf = ({ alerts, window }: Quota) =>
    window.kind === 'rate' ? [] : names.filter(name => alerts.channels?.includes(name) ?? true)
  let waitingFor: string | null = null

  const judgeAll = async ({ asOfMs, forecasts, find }: Judged) => {
    const held = heldIn(control)
    const fresh = forecasts.filter(forecast => forecast.asOfMs === asOfMs)
    const asked = { held, policy: policy(), forecasts: fresh, find, isOwn, names, channelsOf, nowMs: now() }
    const changes = judge(asked).slice(0, CHANGES_MAX)
    await Promise.all(changes.map(({ key, alert }) => change(control, key, alert)))
  }
  const tellAll = () => {
    const { byName } = policy()
    const isOurs = (alert: Alert) => isOwn(...whoseIs(alert, byName.get(alert.quota)))
    const held = [...heldIn(control)]
    alertsHeld(held.map(([, alert]) => alert))
    const silencedUntil = silencesNow(control, now())
    const toTell = held.filter(([, alert]) => alert.untold.length > 0 && isOurs(alert) && silencedUntil(alert) === null)
    telling.tell(toTell.toSorted(([, one], [, other]) => urgencyOf(other) - urgencyOf(one)))
  }
  return {
    async follow(judged) {
      if (channels.length === 0) return
      try {
        await judgeAll(judged)
        waitingFor = null
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        alertsWaiting(logger, reason, reason !== waitingFor)
        waitingFor = reason
      }
      tellAll()
    },
    tell: tellAll,
    held: () => heldIn(control),
    silencedUntil: () => silencesNow(control, now()),
    channels: telling.status,
    test: telling.test,
    close: telling.close,
  }
}

function heldIn(control: AlertingDeps['control']): Map<string, Alert> {
  const held = new Map<string, Alert>()
  for (const key of control.keys('alert')) {
    const alert = readAlert(control.current('alert', key).value)
    if (alert !== null) held.set(key, alert)
  }
  return held
}

async function change(control: AlertingDeps['control'], key: string, alert: Alert | null): Promise<void> {
  const { version } = control.current('alert', key)
  const reason = alert === null ? 'Over, and nobody has to be told.' : `${title(alert)}.`
  try {
    await control.change({ kind: 'alert', key, version, value: alert, by: BY, reason })
  } catch (error) {
    // Another analyzer was faster.
    if (!isOvertaken(error)) throw error
  }
}
