/** Who sends calls, whether they still come, and how to connect another gateway. */
import type { GatewaysAnswer } from '../../analyzer/api/gateways.ts'
import type { SourceGuideAnswer, SourcesAnswer } from './foreign-answers.ts'
import { formatAmount, formatName, formatShare } from './format.ts'
import { html } from './html.ts'
import { useTicks } from './live.ts'
import { Answered, Choice, Empty, Heading, Panel, Snippet, Sparkline, Table, When } from './parts.ts'
import { type Route, useParameters } from './router.ts'
import { useNow, usePages, useResource } from './use-resource.ts'

/** A gateway that sent every hour and is quiet for so long is worth a look. */
const QUIET_MS = 15 * 60_000
const TICKS = 3
/** More than somebody reads. */
const GATEWAYS_MAX = 10_000
const COLUMNS = ['Gateway', 'Reads', 'State', 'Last 24 hours', 'Calls', 'Errors', 'Refused']

export function SourcesPage({ route }: { route: Route }) {
  const nowMs = useNow(1_000)
  const gateways = usePages<GatewaysAnswer>('/v1/gateways', { kind: 'gateways', most: GATEWAYS_MAX }, useTicks(TICKS))
  return html`
    <${Heading} title="Sources" />
    <${Panel} id="gateways" title="Gateways that send calls">
      <${Answered} of=${gateways}>${(answer: GatewaysAnswer) =>
        answer.gateways.length === 0
          ? html`<${Empty} title="No calls in the last day."><p>Choose your gateway below: it says what to paste so that its calls come here.</p><//>`
          : html`<${Table} label="Gateways" head=${COLUMNS}>${busiestFirst(answer).map(one => html`<${Gateway} gateway=${one} nowMs=${nowMs} />`)}<//>`}<//>
    <//>
    <${Connect} route=${route} />
  `
}

const callsOf = ({ calls }: GatewaysAnswer['gateways'][number]) => calls.reduce((sum, count) => sum + count, 0)
const busiestFirst = ({ gateways }: GatewaysAnswer) => gateways.toSorted((one, other) => callsOf(other) - callsOf(one))

function Gateway({ gateway: one, nowMs }: { gateway: GatewaysAnswer['gateways'][number]; nowMs: number }) {
  const { gateway, dialect, calls, errors, refused, lastArrivedAtMs } = one
  const total = callsOf(one)
  const isQuiet = nowMs - lastArrivedAtMs > QUIET_MS
  return html`<tr>
    <td class="name"><b>${gateway === '' ? 'unknown' : formatName(gateway)}</b></td>
    <td>${dialect}</td>
    <td><span class=${`chip ${isQuiet ? 'warn' : 'good'}`}>${isQuiet ? 'quiet' : 'sending'}</span> <small><${When} atMs=${lastArrivedAtMs} nowMs=${nowMs} /></small></td>
    <td><${Sparkline} values=${calls} label=${`Calls by the hour, ${total} in all`} /></td>
    <td class="number">${formatAmount(total, 'requests')}</td>
    <td class="number">${formatShare(errors / total)}</td>
    <td class="number">${formatShare(refused / total)}</td>
  </tr>`
}

function Connect({ route }: { route: Route }) {
  const sources = useResource<SourcesAnswer>('/v1/sources')
  const [{ gateway: name = '' }, choose] = useParameters(route)
  return html`<${Panel} id="connect" title="Connect a gateway">
    <${Answered} of=${sources}>${(answer: SourcesAnswer) => html`
      <${Choice} label="Gateway" value=${name} onChange=${(gateway: string) => choose({ gateway })} options=${[
        { value: '', text: 'Choose …' },
        ...answer.sources.map(source => ({
          value: source.name,
          text: source.isConfigured ? `${source.name} (of the config)` : source.title,
        })),
      ]} />
      ${name === '' && html`<p class="hint">Any of ${answer.sources.length} gateways and log formats. Own programs send JSON to <code>POST /v1/calls</code> of the collector.</p>`}
    `}<//>
    ${name !== '' && html`<${Guide} key=${name} name=${name} />`}
  <//>`
}

function Guide({ name }: { name: string }) {
  const guide = useResource<SourceGuideAnswer>(`/v1/sources/${encodeURIComponent(name)}`)
  return html`<${Answered} of=${guide}>${(answer: SourceGuideAnswer) => html`<${Steps} guide=${answer} name=${name} />`}<//>`
}

function Steps({ guide: { title, ways, setups, notes }, name }: { guide: SourceGuideAnswer; name: string }) {
  return html`<div class="guide">
    <p class="hint">${title}: ${ways.join(', ')}. <code>QUOTACAST_TOKEN</code> stands for a token of the scope <code>ingest</code>:</p>
    <${Snippet} label="the command that makes a token" text=${`npm run -s quotacast -- token create --name ${name} --scopes ingest`} />
    ${setups.map(
      setup => html`
      <h3>${setup.title}</h3>
      <ol>${setup.steps.map(
        ({ text, snippet }) => html`<li><p>${withCode(text)}</p>
        ${snippet !== null && html`<${Snippet} label=${`what to paste for ${setup.title}`} text=${snippet} />`}</li>`,
      )}</ol>
    `,
    )}
    <h3>Good to know</h3>
    <ul>${notes.map(note => html`<li>${withCode(note)}</li>`)}</ul>
  </div>`
}

/** Of Markdown what guides use in running text: code, bold, and links, whose text alone is shown. */
const withCode = (text: string) =>
  text
    .replaceAll(/\[([^\]]+)\]\([^)]+\)/g, '$1')
    .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
    .map(part => {
      if (part.startsWith('`')) return html`<code>${part.slice(1, -1)}</code>`
      return part.startsWith('**') ? html`<b>${part.slice(2, -2)}</b>` : part
    })
