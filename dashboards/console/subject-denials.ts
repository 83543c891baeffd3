/** Why a subject was denied: minute by minute, and what stands in its way now. */
import { useState } from 'preact/hooks'
import type { DenialsAnswer } from '../../analyzer/api/denials.ts'
import type { ExplainAnswer } from '../../analyzer/limit/explain.ts'
import { queryOf } from './api.ts'
import { formatUnits } from './format.ts'
import { html } from './html.ts'
import { useLive, useTicks } from './live.ts'
import { Answered, At, Empty, Panel, type SubjectProps } from './parts.ts'
import { useNow, useResource } from './use-resource.ts'

const SHOWN_MAX = 12
const TICKS = 4

export function SubjectDenials({ quota, subject }: SubjectProps) {
  const nowMs = useNow(10_000)
  const { denials: live } = useLive()
  const isIts = (one: { quota: string; subject: Record<string, string> }) =>
    one.quota === quota && JSON.stringify(one.subject) === JSON.stringify(subject)
  const denials = useResource<DenialsAnswer>(
    `/v1/denials?${queryOf({ quota, ...subject, limit: 200 }, true)}`,
    useTicks(TICKS),
  )
  const shownOf = (answer: DenialsAnswer) => newestOf((live ?? []).filter(isIts), answer.denials.filter(isIts))
  return html`<${Panel} id="denials" title="Denied in the last day">
    <${Answered} of=${denials}>${(answer: DenialsAnswer) => {
      const shown = shownOf(answer)
      return shown.length === 0
        ? html`<${Empty} title="No check was denied."><p>Calls that a gateway refused by itself are among the calls below.</p><//>`
        : html`<ul class="rows" aria-live="polite">${shown.slice(0, SHOWN_MAX).map(
            ({ minuteMs, denied, deniedCost, unit }) => html`<li key=${minuteMs}>
              <${At} atMs=${minuteMs} nowMs=${nowMs} /><span class="risk bad">${denied} denied</span>
              <small>asked for ${formatUnits(deniedCost, unit)}</small></li>`,
          )}</ul>`
    }}<//>
    <${Why} quota=${quota} subject=${subject} />
  <//>`
}

/** Minutes of both, each once: what is live is newer. */
function newestOf(live: DenialsAnswer['denials'], read: DenialsAnswer['denials']): DenialsAnswer['denials'] {
  const byMinute = new Map([...read, ...live].map(one => [one.minuteMs, one]))
  return [...byMinute.values()].sort((a, b) => b.minuteMs - a.minuteMs)
}

/** Whether a call of this subject that the quota covers would pass now, in the limiter's words. */
function Why({ quota, subject }: SubjectProps) {
  const [isAsked, setIsAsked] = useState(false)
  const why = useResource<ExplainAnswer>(
    isAsked ? `/v1/explain?${queryOf({ ...subject, quota })}` : null,
    useTicks(TICKS),
  )
  if (!isAsked)
    return html`<button type="button" onClick=${() => setIsAsked(true)}>Would a call pass now, and why?</button>`
  return html`<${Answered} of=${why}>${({
    allowed,
    summary,
    quotas,
  }: ExplainAnswer) => html`<div class=${`verdict ${allowed ? 'good' : 'bad'}`} role="status">
    <p><strong>${summary}</strong></p>
    <ul>${quotas.map(({ quota, words }) => html`<li key=${quota}>${words}</li>`)}</ul>
  </div>`}<//>`
}
