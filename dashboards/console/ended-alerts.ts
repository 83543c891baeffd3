/** What was alerted, and is over. */
import { useState } from 'preact/hooks'
import type { EndedAlertsAnswer } from '../../analyzer/api/ended-alerts.ts'
import { AlertKind, AlertSubject } from './alert-parts.ts'
import { queryOf } from './api.ts'
import { formatAmount, formatDuration } from './format.ts'
import { html } from './html.ts'
import { useTicks } from './live.ts'
import { Answered, At, Empty, Panel, Table, When } from './parts.ts'
import { usePages } from './use-resource.ts'

/** At first; each time that more are wanted, so many times as many. */
const SHOWN = 100
const MORE_TIMES = 4
const TICKS = 4

export function EndedAlerts({ quota, nowMs }: { quota: string; nowMs: number }) {
  const [most, setMost] = useState(SHOWN)
  const ended = usePages<EndedAlertsAnswer>(
    `/v1/alerts/ended?${queryOf({ quota, from: '-7d' })}`,
    { kind: 'alerts', most },
    useTicks(TICKS),
  )
  return html`<${Panel} id="ended" title="Over in the last week">
    <${Answered} of=${ended}>${({ alerts, nextCursor }: EndedAlertsAnswer) =>
      alerts.length === 0
        ? html`<${Empty} title="None has ended." />`
        : html`<${Table} label="Alerts that are over" head=${['Subject', 'Alert', 'Since', 'Over', 'Lasted', 'Told']}>${alerts.map(
            alert => html`<tr key=${`${alert.key} ${alert.sinceMs}`}>
              <${AlertSubject} alert=${alert} />
              <td class="stacked"><${AlertKind} alert=${alert} /></td>
              <td><${At} atMs=${alert.sinceMs} nowMs=${nowMs} /></td>
              <td><${When} atMs=${alert.endedAtMs} nowMs=${nowMs} /></td>
              <td>${formatDuration(alert.endedAtMs - alert.sinceMs)}</td>
              <td>${alert.told.join(', ') || 'nobody'}</td>
            </tr>`,
          )}<//>
          ${nextCursor !== null && html`<div class="more"><small>The last ${formatAmount(alerts.length, 'alerts')}.</small> <button type="button" onClick=${() => setMost(MORE_TIMES * most)}>Show more</button></div>`}`}<//>
  <//>`
}
