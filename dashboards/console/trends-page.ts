/** Where the use of a quota is going in the long run, and what is unusual now. */
import type { AnomaliesAnswer } from '../../analyzer/api/anomalies.ts'
import type { TrendsAnswer } from '../../analyzer/api/trends.ts'
import { queryOf } from './api.ts'
import {
  formatAmount,
  formatGrowth,
  formatInstant,
  formatName,
  formatNumber,
  formatSubject,
  formatUnits,
} from './format.ts'
import { html } from './html.ts'
import { Answered, At, Choice, Empty, Heading, Panel, Sparkline, Table } from './parts.ts'
import { linkTo, type Route, subjectLink, useParameters } from './router.ts'
import { useQuotas } from './use-quotas.ts'
import { useNow, useResource } from './use-resource.ts'

const SUBJECTS = 50
const KINDS: Readonly<Record<string, string>> = {
  too_much: 'too much',
  too_little: 'too little',
  new_model: 'new model',
  new_network: 'new network',
}

export function TrendsPage({ route }: { route: Route }) {
  const quotas = useQuotas()?.resetting
  const [chosen, choose] = useParameters(route)
  const quota = chosen.quota ?? quotas?.[0] ?? null
  return html`
    <${Heading} title="Trends and unusual activity">
      ${quota !== null && html`<${Choice} label="Quota" value=${quota} onChange=${(name: string) => choose({ quota: name })} options=${(quotas ?? []).map(name => ({ value: name, text: name }))} />`}
    <//>
    ${quotas?.length === 0 && html`<${Empty} title="No quota has trends yet."><p>They need calls, and a quota whose window resets: <a href=${linkTo('sources')}>connect a gateway</a>.</p><//>`}
    ${quota !== null && html`<${Anomalies} key=${`a ${quota}`} quota=${quota} /><${Growth} key=${`g ${quota}`} quota=${quota} />`}
  `
}

function Anomalies({ quota }: { quota: string }) {
  const nowMs = useNow(60_000)
  const anomalies = useResource<AnomaliesAnswer>(`/v1/anomalies?${queryOf({ quota, from: '-7d', limit: SUBJECTS })}`)
  return html`<${Panel} id="anomalies" title="Unusual in the last week">
    <${Answered} of=${anomalies}>${(answer: AnomaliesAnswer) =>
      answer.anomalies.length === 0
        ? html`<${Empty} title="Nothing unusual."><p>Hours are judged against the weeks before, so a week of calls must be known.</p><//>`
        : html`<${Table} label="Unusual activity" head=${['Since', 'Subject', 'What', 'How unusual', 'In words']}>${answer.anomalies.map(
            ({ subject, kind, fromMs, score, value, why }) => html`<tr>
              <td><${At} atMs=${fromMs} nowMs=${nowMs} /></td>
              <td class="name"><a href=${subjectLink(quota, subject)}>${formatSubject(subject)}</a></td>
              <td><span class=${`chip ${kind === 'too_little' ? 'warn' : 'bad'}`}>${KINDS[kind]}</span>${value !== null && html` <small>${formatName(value)}</small>`}</td>
              <td class="number">${formatNumber(score)} σ</td>
              <td class="words">${why}</td>
            </tr>`,
          )}<//>`}<//>
  <//>`
}

function Growth({ quota }: { quota: string }) {
  const trends = useResource<TrendsAnswer>(`/v1/trends?${queryOf({ quota, limit: SUBJECTS })}`)
  return html`<${Panel} id="growth" title="Growth over four weeks">
    <${Answered} of=${trends}>${(answer: TrendsAnswer) =>
      answer.subjects.length === 0
        ? html`<${Empty} title="No calls of this quota in four weeks." />`
        : html`<${Table} label="Growth" head=${['Subject', 'Day by day', 'Growth a week', '9 in 10', 'Typical window', 'Too small from']}>
            ${answer.subjects.map(one => html`<${Trend} trend=${one} of=${answer} />`)}<//>`}<//>
  <//>`
}

function Trend({ trend, of: { quota, unit, asOfMs } }: { trend: TrendsAnswer['subjects'][number]; of: TrendsAnswer }) {
  const { subject, days, growth, outgrown } = trend
  const label = `Use by day, ${days.length} days, at most ${formatUnits(Math.max(0, ...days), unit)}`
  return html`<tr>
    <td class="name"><a href=${subjectLink(quota, subject)}>${formatSubject(subject)}</a></td>
    <td><${Sparkline} values=${days} label=${label} /></td>
    <td class="number">${growth === null ? 'not known yet' : formatGrowth(growth.factor)}</td>
    <td class="number">${growth === null ? '–' : `${formatGrowth(growth.low)} to ${formatGrowth(growth.high)}`}</td>
    <td class="number">${formatAmount(outgrown?.typical.usage ?? null, unit)}</td>
    <td>${outgrown === null ? 'not known yet' : html`<${TooSmall} outgrown=${outgrown.busy} asOfMs=${asOfMs} otherwise=${growth === null ? 'not known yet' : BEYOND} />`}</td>
  </tr>`
}

type Outgrown = NonNullable<TrendsAnswer['subjects'][number]['outgrown']>['busy']

const BEYOND = 'not within two years'

function TooSmall({ outgrown, asOfMs, otherwise }: { outgrown: Outgrown; asOfMs: number; otherwise: string }) {
  const { atMs, earliestMs, latestMs } = outgrown
  if (earliestMs === null) return otherwise
  if (earliestMs <= asOfMs) return html`<span class="chip bad">now, in busy windows</span>`
  const [when, earliest] = [atMs === null ? BEYOND : formatInstant(atMs, asOfMs), formatInstant(earliestMs, asOfMs)]
  return html`${when} <small>${latestMs === null ? `${earliest} or later` : `${earliest} to ${formatInstant(latestMs, asOfMs)}`}</small>`
}
