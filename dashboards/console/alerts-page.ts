/** What somebody should know, who has been told, and who is told at all. */
import { useState } from 'preact/hooks'
import type { AlertsAnswer, ChannelAnswer } from '../../analyzer/api/alerts.ts'
import { AlertKind, AlertSubject } from './alert-parts.ts'
import { queryOf } from './api.ts'
import { Channels } from './channels.ts'
import { EndedAlerts } from './ended-alerts.ts'
import type { SessionAnswer } from './foreign-answers.ts'
import { formatAmount, formatSubject, sentenceOf } from './format.ts'
import { html } from './html.ts'
import { useTicks } from './live.ts'
import { Answered, At, Choice, Empty, Heading, Panel, Snippet, Table, Tile, When } from './parts.ts'
import { type Route, useParameters } from './router.ts'
import { SilenceDialog } from './silence-dialog.ts'
import { SILENCES_PATH, Silences, type SilencesAnswer } from './silences.ts'
import type { AlertAnswer } from './silencing.ts'
import { limitWords } from './standing.ts'
import { useQuotas } from './use-quotas.ts'
import { useNow, usePages, useResource } from './use-resource.ts'

/** At first; silences and channels are below. Each time that more are wanted, so many times as many. */
const SHOWN = 25
const MORE_TIMES = 4
const CONFIG =
  'alerts:\n  channels:\n    ops: { kind: webhook, url: "https://example.com/hooks/quotacast" } # or slack, or email'

export function AlertsPage({ route, session }: { route: Route; session: SessionAnswer }) {
  const nowMs = useNow(10_000)
  const [{ quota = '' }, choose] = useParameters(route)
  const [shownMax, setShownMax] = useState(SHOWN)
  const [changes, setChanges] = useState(0)
  const [silencing, setSilencing] = useState<AlertAnswer | null>(null)
  const revision = useTicks(1) + changes
  const seesAll = session.tenant === null
  const mayChange = seesAll && session.scopes.includes('admin')
  const alerts = usePages<AlertsAnswer>(
    `/v1/alerts?${queryOf({ quota })}`,
    { kind: 'alerts', most: shownMax },
    revision,
  )
  const channels = useResource<ChannelAnswer[]>(seesAll ? '/v1/alerts/channels' : null, revision)
  const silences = useResource<SilencesAnswer>(seesAll ? SILENCES_PATH : null, revision)
  const onChanged = () => setChanges(known => known + 1)
  const options = [
    { value: '', text: 'All quotas' },
    ...(useQuotas()?.quotas ?? []).map(name => ({ value: name, text: name })),
  ]
  return html`
    <${Heading} title="Alerts">${alerts.answer?.isConfigured && html`<${Choice} label="Quota" value=${quota} options=${options} onChange=${(name: string) => choose({ quota: name })} />`}<//>
    <${Answered} of=${alerts}>${(answer: AlertsAnswer) =>
      !answer.isConfigured
        ? html`<${NotConfigured} />`
        : html`<${Summary} answer=${answer} />
            <${Undelivered} channels=${channels.answer ?? []} />
            <${Panel} id="alerts" title="Now">
              <${Alerts} answer=${answer} channels=${channels.answer ?? []} nowMs=${nowMs} onSilence=${mayChange ? setSilencing : null} />
              <${More} total=${answer.total} shownMax=${shownMax} onMore=${() => setShownMax(shownMax * MORE_TIMES)} />
            <//>
            ${seesAll && html`<${Silences} silences=${silences} mayChange=${mayChange} nowMs=${nowMs} onChanged=${onChanged} /><${Channels} channels=${channels} mayChange=${mayChange} nowMs=${nowMs} />`}
            <${EndedAlerts} key=${quota} quota=${quota} nowMs=${nowMs} />`}<//>
    ${silencing !== null && html`<${SilenceDialog} alert=${silencing} onSilenced=${onChanged} onClose=${() => setSilencing(null)} />`}
  `
}

const NotConfigured = () => html`<${Empty} title="Nobody is told of alerts.">
  <p>None begins until <code>alerts.channels</code> of the config names somebody to tell: a webhook, a chat, or mail addresses.</p>
  <${Snippet} label="what to add to the config" text=${CONFIG} />
<//>`

function Summary({ answer: { total, exhausted, likely, untold } }: { answer: AlertsAnswer }) {
  const of = (count: number) => formatAmount(count, 'alerts')
  return html`<dl class="tiles" aria-label="Alerts now">
    <${Tile} label="Alerts" value=${of(total)} note="of which somebody should know" />
    <${Tile} label="Used up" value=${of(exhausted)} tone=${exhausted > 0 ? 'bad' : ''} note="at their limit" />
    <${Tile} label="Likely to run out" value=${of(likely)} tone=${likely > 0 ? 'warn' : ''} note="before their reset" />
    <${Tile} label="Not told yet" value=${of(untold)} tone=${untold > 0 ? 'warn' : ''} note="to every channel, or silenced" />
  </dl>`
}

/** Why alerts are not told, of each channel once. */
const Undelivered = ({ channels }: { channels: readonly ChannelAnswer[] }) =>
  channels.map(
    ({ name, failure }) =>
      failure !== null &&
      html`<div key=${name} class="failure" role="status"><strong>${sentenceOf(failure)}</strong> It is tried again by itself.</div>`,
  )

function Alerts({
  answer: { alerts },
  channels,
  nowMs,
  onSilence,
}: {
  answer: AlertsAnswer
  channels: readonly ChannelAnswer[]
  nowMs: number
  onSilence: ((alert: AlertAnswer) => void) | null
}) {
  if (alerts.length === 0)
    return html`<${Empty} title="There is nothing that somebody should know.">
      <p>An alert begins when a share of a limit is used up that its quota names under <code>alerts.used</code>, when nothing is left, and when
        a quota will probably run out before its reset.</p><//>`
  const failing = new Set(channels.filter(({ failure }) => failure !== null).map(({ name }) => name))
  const head = ['Subject', 'Alert', 'Used then', 'Since', 'Told', ...(onSilence === null ? [] : ['Silence'])]
  return html`<${Table} label="Alerts" head=${head}>${alerts.map(
    alert => html`<tr key=${alert.key}>
      <${AlertSubject} alert=${alert} />
      <td class="stacked"><${AlertKind} alert=${alert} />${alert.endedAtMs !== null && html` <span class="chip good">over</span> <small><${When} atMs=${alert.endedAtMs} nowMs=${nowMs} /></small>`}</td>
      <td class="number stacked">${formatAmount(alert.used, alert.unit)} <small>${limitWords(alert)}</small></td>
      <td><${When} atMs=${alert.sinceMs} nowMs=${nowMs} /></td>
      <td class="stacked"><${Told} alert=${alert} failing=${failing} nowMs=${nowMs} /></td>
      ${onSilence !== null && html`<td><${SilenceButton} alert=${alert} onSilence=${onSilence} /></td>`}
    </tr>`,
  )}<//>`
}

/** Who knows, who does not, and until when nobody is told. Of an alert that is over it is the end that they know of. */
function Told({
  alert: { told = [], untold, endedAtMs, silencedUntilMs },
  failing,
  nowMs,
}: {
  alert: AlertAnswer
  failing: ReadonlySet<string>
  nowMs: number
}) {
  return html`${endedAtMs !== null && html`<small>of the end</small>`}${told.map(name => html`<span class="chip good">${name}</span> `)}
    ${untold.map(name => html`<span class=${`chip ${failing.has(name) ? 'bad' : ''}`}>${name}: not yet</span> `)}
    ${silencedUntilMs !== null && html`<small>silenced until <${At} atMs=${silencedUntilMs} nowMs=${nowMs} /></small>`}`
}

const SilenceButton = ({ alert, onSilence }: { alert: AlertAnswer; onSilence: (alert: AlertAnswer) => void }) =>
  alert.silencedUntilMs === null &&
  alert.endedAtMs === null &&
  html`<button type="button" class="quiet" aria-label=${`Silence ${formatSubject(alert.subject)}, ${alert.quota}`} onClick=${() => onSilence(alert)}>Silence</button>`

function More({ total, shownMax, onMore }: { total: number; shownMax: number; onMore: () => void }) {
  if (total <= shownMax) return null
  return html`<div class="more"><small>The worst ${formatAmount(shownMax, 'alerts')} of ${formatAmount(total, 'alerts')}.</small>
    <button type="button" onClick=${onMore}>Show more</button></div>`
}
