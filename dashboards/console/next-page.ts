/** What runs out next: every subject of every quota, the most urgent first. */
import { useMemo, useState } from 'preact/hooks'
import type { DenialAnswer } from '../../analyzer/api/denials.ts'
import type { ForecastAnswer } from '../../analyzer/api/forecast-schema.ts'
import type { NextAnswer } from '../../analyzer/api/next.ts'
import { queryOf } from './api.ts'
import { formatAmount, formatShare, formatSubject, formatWhen } from './format.ts'
import { html } from './html.ts'
import { useLive, useTicks } from './live.ts'
import { At, Bar, Choice, Empty, Failure, Heading, Tile, toneOf } from './parts.ts'
import { linkTo, type Route, subjectLink, useParameters } from './router.ts'
import { limitWords, runsOutWords, shadowWords, shareUsed } from './standing.ts'
import { useIsNarrow } from './use-media.ts'
import { useNow, useResource, useSettled } from './use-resource.ts'
import { type Seen, VirtualList } from './virtual-list.ts'

const PAGE_ROWS = 50
const DENIALS_SHOWN = 3
const ROWS_MAX = 200
const TYPING_MS = 200
/** As many as the API takes. */
const SEARCH_CHARACTERS_MAX = 512
const ROW_HEIGHT = { wide: 52, narrow: 84 }
const ORDERS = [
  { value: 'risk', text: 'Runs out first' },
  { value: 'used', text: 'Most used' },
  { value: 'reset', text: 'Next reset' },
]

export function NextPage({ route }: { route: Route }) {
  const [{ search = '', quota = '', order = 'risk' }, choose] = useParameters(route)
  const [seen, setSeen] = useState<Seen>({ offset: 0, limit: PAGE_ROWS })
  const text = useSettled(search, TYPING_MS)
  const part = { offset: seen.offset, limit: Math.min(seen.limit, ROWS_MAX) }
  const { answer, error } = useResource<NextAnswer>(
    `/v1/forecasts/next?${queryOf({ search: text, quota, order, ...part })}`,
    useTicks(1),
  )
  const isFiltered = text !== '' || quota !== ''
  const shown = useShown(answer, seen.offset)
  return html`
    <${Heading} title="What runs out next" />
    ${error !== null && html`<${Failure} error=${error} />`}
    <${Summary} answer=${answer} isFiltered=${isFiltered} />
    <${JustDenied} />
    <div class="filters" role="search">
      <label class="choice grow"><span>Find</span>
        <input type="search" maxlength=${SEARCH_CHARACTERS_MAX} value=${search} placeholder="Tenant, consumer, model, quota …"
          onInput=${(event: { currentTarget: HTMLInputElement }) => choose({ search: event.currentTarget.value })} />
      </label>
      <${Choice} label="Quota" value=${quota} onChange=${(name: string) => choose({ quota: name })}
        options=${[{ value: '', text: 'All quotas' }, ...(answer?.quotas ?? []).map(name => ({ value: name, text: name }))]} />
      <${Choice} label="Order" value=${order} options=${ORDERS} onChange=${(name: string) => choose({ order: name })} />
    </div>
    ${answer !== null && answer.total === 0 && html`<${Nothing} answer=${answer} isFiltered=${isFiltered} />`}
    ${answer !== null && answer.total > 0 && html`<${Subjects} total=${answer.total} shown=${shown} onSeen=${setSeen} />`}
  `
}

/** Rows by their place in the list; those of the answer before stay until theirs have come. */
function useShown(answer: NextAnswer | null, offset: number): ReadonlyMap<number, ForecastAnswer> {
  const [known] = useState(() => new Map<number, ForecastAnswer>())
  // An answer belongs to the offset that it was asked with.
  return useMemo(() => {
    if (answer !== null && answer.forecasts.length > 0) {
      known.clear()
      for (const [index, forecast] of answer.forecasts.entries()) known.set(offset + index, forecast)
    }
    return new Map(known)
  }, [answer])
}

function Summary({ answer, isFiltered }: { answer: NextAnswer | null; isFiltered: boolean }) {
  const { denied } = useLive()
  const of = (count: number | null | undefined) => formatAmount(count ?? null, 'subjects')
  return html`<dl class="tiles" aria-label="Now">
    <${Tile} label="Used up now" value=${of(answer?.exhausted)} tone=${(answer?.exhausted ?? 0) > 0 ? 'bad' : ''} note=${isFiltered ? 'of what is found' : 'at their limit'} />
    <${Tile} label="Likely to run out" value=${of(answer?.likely)} tone=${(answer?.likely ?? 0) > 0 ? 'warn' : ''} note=${isFiltered ? 'of what is found' : 'before their reset'} />
    <${Tile} label=${isFiltered ? 'Found' : 'Watched'} value=${of(answer?.total)} note="subjects of quotas" />
    <${Tile} label="Denied" value=${of(denied)} tone=${(denied ?? 0) > 0 ? 'bad' : ''} note="in the last 15 min, by each quota in the way" />
  </dl>`
}

/** Who was denied lately, as it happens: the newest first, each subject of a quota once. */
function JustDenied() {
  const nowMs = useNow(10_000)
  const { denials } = useLive()
  const bySubject = Map.groupBy(denials ?? [], ({ quota, subject }) => JSON.stringify([quota, subject]))
  const shown = [...bySubject].slice(0, DENIALS_SHOWN)
  return html`<ul class="just-denied" aria-live="polite" aria-label="Denied just now">${shown.map(([key, minutes]) => {
    const [newest] = minutes
    if (newest === undefined) return null
    return html`<li key=${key}>
      <span class="chip bad">${formatAmount(totalDenied(minutes), 'requests')} denied</span>
      <a href=${subjectLink(newest.quota, newest.subject)}>${formatSubject(newest.subject)}</a>
      <small>by ${newest.quota}, last <${At} atMs=${newest.minuteMs} nowMs=${nowMs} /></small></li>`
  })}</ul>`
}

const totalDenied = (denials: readonly DenialAnswer[]): number => denials.reduce((sum, { denied }) => sum + denied, 0)

function Nothing({ answer, isFiltered }: { answer: NextAnswer; isFiltered: boolean }) {
  if (isFiltered) return html`<${Empty} title="Nothing fits."><p>Look for less, or choose all quotas.</p><//>`
  if (answer.asOfMs === null)
    return html`<${Empty} title="The first forecast is being made."><p>This takes a few seconds.</p><//>`
  return html`<${Empty} title="Nothing to forecast yet.">
    <p>Quotacast needs two things: <a href=${linkTo('sources')}>a gateway that sends its calls</a>, and a quota that covers
    them, under <code>quotas</code> in the config or by <code>PUT /v1/quotas/…</code>. The first forecast comes within seconds.</p>
  <//>`
}

function Subjects({
  total,
  shown,
  onSeen,
}: {
  total: number
  shown: ReadonlyMap<number, ForecastAnswer>
  onSeen: (seen: Seen) => void
}) {
  const nowMs = useNow(1_000)
  const isNarrow = useIsNarrow()
  const row = (index: number) =>
    html`<${Row} key=${index} index=${index} forecast=${shown.get(index)} nowMs=${nowMs} />`
  const columns = ['Subject', 'Risk', 'Runs out', 'Used', 'Reset']
  return html`<${VirtualList}
    label="Subjects of quotas"
    total=${total}
    pageRows=${PAGE_ROWS}
    rowHeight=${isNarrow ? ROW_HEIGHT.narrow : ROW_HEIGHT.wide}
    row=${row}
    onSeen=${onSeen}
    header=${html`<div role="row" aria-rowindex="1" class="row head">${columns.map(name => html`<span role="columnheader">${name}</span>`)}</div>`}
  />`
}

function Row({ index, forecast, nowMs }: { index: number; forecast: ForecastAnswer | undefined; nowMs: number }) {
  const rowIndex = index + 2
  if (forecast === undefined)
    return html`<div role="row" aria-rowindex=${rowIndex} class="row blank"><span role="cell">…</span></div>`
  const { quota, subject, probability, used, unit, windowEndMs } = forecast
  const share = shareUsed(forecast)
  const tone = toneOf(probability, share)
  return html`<div role="row" aria-rowindex=${rowIndex} class="row">
    <span role="cell" class="c-subject">
      <a href=${subjectLink(quota, subject)}>${formatSubject(subject)}</a><small>${quota}${shadowWords(forecast)}</small>
    </span>
    <span role="cell" class=${`c-risk ${probability === null ? '' : tone}`} title="Probability of running out before the reset">
      <b>${formatShare(probability)}</b><${Bar} share=${probability ?? 0} tone=${tone} />
    </span>
    <span role="cell" class=${`c-when ${share >= 1 ? 'bad' : ''}`}>${runsOutWords(forecast, nowMs)}</span>
    <span role="cell" class="c-used">
      <span>${formatAmount(used, unit)} <small>${limitWords(forecast)}</small></span>
      <${Bar} share=${share} tone=${share >= 1 ? 'bad' : ''} /><small class="share">${forecast.limit === null ? '' : formatShare(share)}</small>
    </span>
    <span role="cell" class="c-reset"><small class="only-narrow">resets </small>${formatWhen(windowEndMs, nowMs)}</span>
  </div>`
}
