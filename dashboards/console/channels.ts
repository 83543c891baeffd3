/** Who is told of alerts, whether they hear it, and a try of each. */
import { useState } from 'preact/hooks'
import type { ChannelAnswer } from '../../analyzer/api/alerts.ts'
import { postJson } from './api.ts'
import { sentenceOf } from './format.ts'
import { html } from './html.ts'
import { Answered, Panel, Table, When } from './parts.ts'
import { type Resource, toApiError } from './use-resource.ts'

export interface ChannelsProps {
  channels: Resource<ChannelAnswer[]>
  mayChange: boolean
  nowMs: number
}

export function Channels({ channels, mayChange, nowMs }: ChannelsProps) {
  return html`<${Panel} id="channels" title="Channels">
    <${Answered} of=${channels}>${(answer: ChannelAnswer[]) =>
      html`<${Table} label="Who is told" head=${['Channel', 'Kind', 'State', 'Last accepted', 'Last failure', ...(mayChange ? ['Test'] : [])]}>
        ${answer.map(channel => html`<${Row} key=${channel.name} channel=${channel} nowMs=${nowMs} mayChange=${mayChange} />`)}<//>
      <p class="hint after-table">Since the analyzer was started. Where a channel is may be a secret: the config alone says it.</p>`}<//>
  <//>`
}

function Row({ channel, mayChange, nowMs }: { channel: ChannelAnswer; mayChange: boolean; nowMs: number }) {
  const { name, kind, toldAtMs, failedAtMs, failure } = channel
  const [tone, state] =
    failure !== null ? ['bad', 'fails'] : toldAtMs !== null ? ['good', 'works'] : ['', 'not used yet']
  const when = (atMs: number | null) => (atMs === null ? '–' : html`<${When} atMs=${atMs} nowMs=${nowMs} />`)
  return html`<tr>
    <td><b>${name}</b></td>
    <td>${kind}</td>
    <td><span class=${`chip ${tone}`}>${state}</span></td>
    <td>${when(toldAtMs)}</td>
    <td class=${failure === null ? '' : 'words stacked'}>${when(failedAtMs)} ${failure !== null && html`<small>${failure}</small>`}</td>
    ${mayChange && html`<td><${Try} name=${name} /></td>`}
  </tr>`
}

/** A message without alerts, and what became of it. */
function Try({ name }: { name: string }) {
  const [outcome, setOutcome] = useState<{ tone: string; words: string } | null>(null)
  const [isBusy, setIsBusy] = useState(false)
  const send = () => {
    setIsBusy(true)
    setOutcome(null)
    postJson(`/v1/alerts/channels/${encodeURIComponent(name)}/test`, {})
      .then(
        () => setOutcome({ tone: 'good', words: 'The message was accepted.' }),
        (error: unknown) => setOutcome({ tone: 'bad', words: sentenceOf(toApiError(error).message) }),
      )
      .finally(() => setIsBusy(false))
  }
  return html`<button type="button" class="quiet" disabled=${isBusy} aria-label=${`Send a test to ${name}`} onClick=${send}>${isBusy ? 'Sending …' : 'Send a test'}</button>
    <span role="status" class=${`risk ${outcome?.tone ?? ''}`}>${outcome?.words ?? ''}</span>`
}
