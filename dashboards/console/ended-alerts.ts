/** What was alerted, and is over. */
import type { EndedAlertsAnswer } from '../../analyzer/api/ended-alerts.ts'
import { AlertKind, AlertSubject } from './alert-parts.ts'
import { queryOf } from './api.ts'
import { formatDuration } from './format.ts'
import { html } from './html.ts'
import { useTicks } from './live.ts'
import { Answered, At, Empty, Panel, Table, When } from './parts.ts'
import { useResource } from './use-resource.ts'

const SHOWN_MAX = 100
const TICKS = 4

export function EndedAlerts({ quota, nowMs }: { quota: string; nowMs: number }) {
  const ended = useResource<EndedAlertsAnswer>(
    `/v1/alerts/ended?${queryOf({ quota, from: '-7d', limit: SHOWN_MAX })}`,
    useTicks(TICKS),
  )
  return html`<${Panel} id="ended" title="Over in the last week">
    <${Answered} of=${ended}>${({ alerts }: EndedAlertsAnswer) =>
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
          ${alerts.length === SHOWN_MAX && html`<p class="hint after-table">These are the last ${SHOWN_MAX}.</p>`}`}<//>
  <//>`
}
