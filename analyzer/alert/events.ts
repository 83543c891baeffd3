/** What happens to alerts that somebody may want to count: one function an event, as in ../events.ts. */
import { metrics } from '@opentelemetry/api'
import type { Logger } from 'pino'
import { type Alert, RULES } from './alert.ts'

const meter = metrics.getMeter('quotacast.analyzer')

const alertsNow = meter.createGauge('quotacast_alerts', {
  description: 'Alerts that are held, by rule; those of other analyzers are among them.',
})
const messagesSent = meter.createCounter('quotacast_alert_messages_total', {
  description: 'Messages about alerts, by channel and whether they were accepted.',
})

/** Alerts were judged; these are held. */
export function alertsHeld(alerts: readonly Pick<Alert, 'rule' | 'endedAtMs'>[]): void {
  for (const rule of RULES) {
    alertsNow.record(alerts.filter(alert => alert.rule === rule && alert.endedAtMs === null).length, { rule })
  }
}

/** Alerts wait for the control log. Logged when the reason changes. */
export function alertsWaiting(log: Logger, reason: string, isNew: boolean): void {
  if (isNew) log.warn({ reason }, 'alerts are not handed on')
}

/** A channel has accepted a message. */
export function alertsTold(log: Logger, told: { channel: string; alerts: number }): void {
  messagesSent.add(1, { channel: told.channel, outcome: 'accepted' })
  log.info(told, 'alerts told')
}

/** A channel did not accept a message; it is sent again. Logged when the reason changes, counted each time. */
export function channelFailed(log: Logger, failed: { channel: string; failure: string }, isNew: boolean): void {
  messagesSent.add(1, { channel: failed.channel, outcome: 'failed' })
  if (isNew) log.error(failed, 'alerts cannot be told')
}
