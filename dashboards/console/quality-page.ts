/** Whether the forecasts of this installation were right. */
import type { AccuracyAnswer } from '../../analyzer/api/accuracy.ts'
import { formatAmount, formatDuration, formatNumber, formatShare } from './format.ts'
import { html } from './html.ts'
import { Answered, Empty, Heading, Panel, Table, Tile } from './parts.ts'
import { useResource } from './use-resource.ts'

type Scores = NonNullable<AccuracyAnswer['all']['scores']>
const COLUMNS = [
  'Quota',
  'Time left',
  'Forecasts',
  'Windows',
  'Ran out',
  'Brier score',
  'Base rate',
  'Log loss',
  'Within 8 in 10',
]

export function QualityPage() {
  const accuracy = useResource<AccuracyAnswer>('/v1/forecasts/accuracy?from=-30d')
  return html`
    <${Heading} title="Forecast quality" />
    <${Answered} of=${accuracy}>${({ all, quotas }: AccuracyAnswer) =>
      all.scores === null
        ? html`<${Empty} title="No window has ended yet."><p>Forecasts are stored as they are made, and scored ten minutes after the reset of their
            window against what was really used. Come back after the first reset of a quota.</p><//>`
        : html`<${Overall} scores=${all.scores} lead=${all.lead} />
            <${Panel} id="by-quota" title="By quota, and by the time that was left"><${Table} label="Scores" head=${COLUMNS}>
              ${quotas.flatMap(({ quota, scores, byHorizon }) => [
                scores !== null && html`<${Row} name=${quota} left="all" scores=${scores} />`,
                ...byHorizon.map(
                  ({ leftMsMax, scores: some }) =>
                    html`<${Row} name="" left=${leftMsMax === null ? 'longer' : `up to ${formatDuration(leftMsMax)}`} scores=${some} />`,
                ),
              ])}<//><//>`}<//>
  `
}

function Overall({ scores, lead }: { scores: Scores; lead: AccuracyAnswer['all']['lead'] }) {
  const { forecasts, windows, brier, brierOfBaseRate, calibrationError, coverage } = scores
  return html`
    <dl class="tiles" aria-label="Scores of the last 30 days">
      <${Tile} label="Brier score" value=${formatNumber(brier)} note=${`0 is perfect; the base rate has ${formatNumber(brierOfBaseRate)}`} />
      <${Tile} label="Off by" value=${formatShare(calibrationError)} note="mean distance of said and happened" />
      <${Tile} label="Within 8 in 10" value=${formatShare(coverage.exhaustion)} note="of the instants; 80% is meant" />
      <${Tile} label="Warned early" value=${formatShare(lead?.early ?? null)} note=${lead === null ? 'not known yet' : `at ${formatShare(lead.falseAlarmShare)} false alarms`} />
      <${Tile} label="Scored" value=${formatAmount(forecasts, 'forecasts')} note=${`forecasts of ${formatAmount(windows, 'windows')} windows`} />
    </dl>
    <${Panel} id="reliability" title="Does it happen as often as it is said?"><${Reliability} bins=${scores.reliability} /><//>
  `
}

/** Said against happened; a forecast that can be trusted lies on the diagonal. */
function Reliability({ bins }: { bins: Scores['reliability'] }) {
  const filled = bins.filter(({ said, happened }) => said !== null && happened !== null)
  const most = Math.max(1, ...filled.map(({ forecasts }) => forecasts))
  const at = (share: number | null) => 10 + 180 * (share ?? 0)
  return html`<div class="columns reliability-columns">
    <svg class="reliability" viewBox="0 0 200 200" role="img" aria-label="Reliability diagram: the table beside it has its numbers">
      <path class="axis" d="M10 10V190H190" /><path class="diagonal" d="M10 190L190 10" />
      ${filled.map(({ said, happened, forecasts }) => html`<circle cx=${at(said)} cy=${200 - at(happened)} r=${2 + 5 * Math.sqrt(forecasts / most)} />`)}
      <text x="100" y="199" text-anchor="middle">said</text>
      <text x="-100" y="7" text-anchor="middle" transform="rotate(-90)">happened</text>
    </svg>
    <${Table} label="Reliability" head=${['Said', 'Happened', 'Forecasts']}>${filled.map(
      ({ said, happened, forecasts }) =>
        html`<tr><td class="number">${formatShare(said)}</td><td class="number">${formatShare(happened)}</td><td class="number">${formatAmount(forecasts, 'forecasts')}</td></tr>`,
    )}<//>
  </div>`
}

function Row({ name, left, scores }: { name: string; left: string; scores: Scores }) {
  return html`<tr>
    <td><b>${name}</b></td><td>${left}</td>
    <td class="number">${formatAmount(scores.forecasts, 'forecasts')}</td><td class="number">${formatAmount(scores.windows, 'windows')}</td>
    <td class="number">${formatShare(scores.exhaustedShare)}</td><td class="number">${formatNumber(scores.brier)}</td>
    <td class="number">${formatNumber(scores.brierOfBaseRate)}</td><td class="number">${formatNumber(scores.logLoss)}</td>
    <td class="number">${formatShare(scores.coverage.exhaustion)}</td>
  </tr>`
}
