/** What a subject holds, and its newest calls. */
import type { CallsAnswer } from '../../analyzer/api/calls.ts'
import type { ReservationsAnswer } from '../../analyzer/limit/reservation-list.ts'
import { queryOf } from './api.ts'
import { formatAmount, formatLatency, formatName, formatUnit, formatUnits } from './format.ts'
import { html } from './html.ts'
import { useTicks } from './live.ts'
import { Answered, At, Empty, Panel, type SubjectProps, Table, When } from './parts.ts'
import { useNow, useResource } from './use-resource.ts'

const TICKS = 2
const SHOWN = 25
/** The API knows no other dimensions to choose by than tenant and consumer. */
const HELD_MAX = 500
const HELD_SHOWN = 20
const COLUMNS = ['Started', 'Outcome', 'Status', 'Model or route', 'Gateway', 'Tokens', 'Cost', 'Latency']

export function Reservations({ subject }: SubjectProps) {
  const nowMs = useNow(1_000)
  const { tenant, consumer } = subject
  const held = useResource<ReservationsAnswer>(
    `/v1/reservations?${queryOf({ tenant, consumer, limit: HELD_MAX })}`,
    useTicks(TICKS),
  )
  const isIts = ({ dimensions }: { dimensions: Record<string, string> }) =>
    Object.entries(subject).every(([name, value]) => (dimensions[name] ?? '') === value)
  const costOf = (cost: Record<string, number>) =>
    Object.entries(cost)
      .map(([unit, amount]) => formatUnits(amount, unit))
      .join(', ')
  return html`<${Panel} id="reservations" title="Held for calls under way">
    <${Answered} of=${held}>${(answer: ReservationsAnswer) => {
      const reservations = answer.reservations.filter(isIts).slice(0, HELD_SHOWN)
      const none =
        answer.nextCursor === null
          ? 'Nothing is held.'
          : 'None of the first that are held is its own, and there are more.'
      return reservations.length === 0
        ? html`<${Empty} title=${none}><p>A gateway holds what a call may cost by <code>POST /v1/reservations</code> of the limiter.</p><//>`
        : html`<ul class="rows">${reservations.map(
            ({ id, owner, cost, madeAtMs, expiresAtMs }) => html`<li key=${id ?? madeAtMs}>
              <span>${costOf(cost)}</span><small>by ${formatName(owner)}, <${When} atMs=${madeAtMs} nowMs=${nowMs} /></small>
              <small>${expiresAtMs === null ? '' : html`given back <${When} atMs=${expiresAtMs} nowMs=${nowMs} />`}</small></li>`,
          )}</ul>`
    }}<//>
  <//>`
}

export function RecentCalls({ quota, subject }: SubjectProps) {
  const nowMs = useNow(10_000)
  const calls = useResource<CallsAnswer>(
    `/v1/calls?${queryOf({ quota, ...subject, limit: SHOWN }, true)}`,
    useTicks(TICKS),
  )
  return html`<${Panel} id="calls" title="Newest calls">
    <${Answered} of=${calls}>${(answer: CallsAnswer) =>
      answer.calls.length === 0
        ? html`<${Empty} title="No calls in the last day."><p>They appear a few seconds after a gateway has sent them.</p><//>`
        : html`<${Table} label="Newest calls" head=${COLUMNS}>${answer.calls.map(call => html`<${Call} call=${call} nowMs=${nowMs} />`)}<//>`}<//>
  <//>`
}

function Call({ call, nowMs }: { call: CallsAnswer['calls'][number]; nowMs: number }) {
  const { startedAtMs, outcome, status, model, route, gateway, totalTokens, costMicros, latencyMs } = call
  const tone = outcome === 'ok' ? '' : outcome === 'limited' || outcome === 'exhausted' ? 'bad' : 'warn'
  return html`<tr>
    <td><${At} atMs=${startedAtMs} nowMs=${nowMs} /></td>
    <td><span class=${`chip ${tone}`}>${formatUnit(outcome)}</span></td>
    <td class="number">${status ?? '–'}</td>
    <td class="name">${formatName(model || route || '–')}</td>
    <td class="name">${formatName(gateway || '–')}</td>
    <td class="number">${formatAmount(totalTokens, 'total_tokens')}</td>
    <td class="number">${formatAmount(costMicros, 'cost')}</td>
    <td class="number">${formatLatency(latencyMs)}</td>
  </tr>`
}
