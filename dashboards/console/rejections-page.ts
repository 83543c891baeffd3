/** What could not be read: how many of which kind, an example of each, and what to do. */
import { useState } from 'preact/hooks'
import { queryOf } from './api.ts'
import type { RejectionCountsAnswer, RejectionsAnswer } from './foreign-answers.ts'
import { formatAmount, formatUnit } from './format.ts'
import { html } from './html.ts'
import { useTicks } from './live.ts'
import { Answered, At, Empty, Heading, Panel, Snippet, Table, When } from './parts.ts'
import { linkTo } from './router.ts'
import { useNow, useResource } from './use-resource.ts'

const TICKS = 4
const EXAMPLES = 20
type Kind = Pick<RejectionCountsAnswer['counts'][number], 'source' | 'reason'>

export function RejectionsPage() {
  const nowMs = useNow(1_000)
  const counts = useResource<RejectionCountsAnswer>('/v1/rejections/counts', useTicks(TICKS))
  const [kind, setKind] = useState<Kind | null>(null)
  return html`
    <${Heading} title="Rejections" />
    <${Panel} id="counts" title="Calls that could not be read">
      <${Answered} of=${counts}>${(answer: RejectionCountsAnswer) =>
        answer.counts.length === 0
          ? html`<${Empty} title="Everything could be read."><p>What cannot be read stops nothing: it is kept here for 30 days, without secrets, until it is replayed.
              <a href=${linkTo('sources')}>See the sources</a>.</p><//>`
          : html`<${Table} label="Rejections by source and reason" head=${['Source', 'Reason', 'Calls', 'Replayable', 'Last', 'Example', '']}>
              ${answer.counts.map(count => html`<${Count} count=${count} nowMs=${nowMs} onShow=${setKind} />`)}<//>`}<//>
    <//>
    ${kind !== null && html`<${Examples} key=${JSON.stringify(kind)} kind=${kind} nowMs=${nowMs} />`}
    ${
      (counts.answer?.counts.length ?? 0) > 0 &&
      html`<${Panel} id="replay" title="When the mapping, the config or the gateway is mended">
      <p>See what would become of them now, then replay them. No call is counted twice.</p>
      <${Snippet} label="the commands that replay rejections" text=${'npm run -s quotacast -- replay --dry-run\nnpm run -s quotacast -- replay'} />
    <//>`
    }
  `
}

function Count({
  count,
  nowMs,
  onShow,
}: {
  count: RejectionCountsAnswer['counts'][number]
  nowMs: number
  onShow: (kind: Kind) => void
}) {
  const { source, reason, count: calls, replayable, lastAtMs, example } = count
  return html`<tr>
    <td><b>${source}</b></td>
    <td><span class="chip warn">${formatUnit(reason)}</span></td>
    <td class="number">${formatAmount(calls, 'requests')}</td>
    <td class="number">${formatAmount(replayable, 'requests')}</td>
    <td><${When} atMs=${lastAtMs} nowMs=${nowMs} /></td>
    <td class="words">${example.message}</td>
    <td><button type="button" class="quiet" aria-label=${`Show the newest of ${source}, ${formatUnit(reason)}`} onClick=${() => onShow({ source, reason })}>Show</button></td>
  </tr>`
}

function Examples({ kind: { source, reason }, nowMs }: { kind: Kind; nowMs: number }) {
  const page = useResource<RejectionsAnswer>(`/v1/rejections?${queryOf({ source, reason, limit: EXAMPLES })}`)
  return html`<${Panel} id="examples" title=${`The newest of ${source}: ${formatUnit(reason)}`}>
    <${Answered} of=${page}>${({ rejections }: RejectionsAnswer) =>
      html`<ol class="examples">${rejections.map(
        ({ arrivedAtMs, message, input }) => html`<li>
        <p><${At} atMs=${arrivedAtMs} nowMs=${nowMs} /> ${message}</p>
        <pre tabindex="0" role="region" aria-label="The input">${input}</pre>
      </li>`,
      )}</ol>`}<//>
  <//>`
}
