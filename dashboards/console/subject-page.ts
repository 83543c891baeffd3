/** One subject of one quota: where it stands, where it goes, and what happened to its calls. */
import { useState } from 'preact/hooks'
import type { PathAnswer } from '../../analyzer/api/forecast-path.ts'
import type { ForecastAnswer } from '../../analyzer/api/forecast-schema.ts'
import { queryOf } from './api.ts'
import { FanChart } from './fan-chart.ts'
import {
  formatAmount,
  formatInstant,
  formatNumber,
  formatShare,
  formatSubject,
  formatWhen,
  restWords,
} from './format.ts'
import { html } from './html.ts'
import { useTicks } from './live.ts'
import { Answered, Bar, Heading, Panel, Tile, toneOf } from './parts.ts'
import { linkTo, type Route, subjectLink, subjectOf } from './router.ts'
import { isUsedUp, limitWords, runsOutWords, shadowWords, shareUsed, slowedWords, upstreamWords } from './standing.ts'
import { RecentCalls, Reservations } from './subject-calls.ts'
import { SubjectDenials } from './subject-denials.ts'
import { useNow, useResource } from './use-resource.ts'
import { WhatIf } from './what-if.ts'
import { AS_IT_IS, conditionsOf } from './wish.ts'

/** What reads the store is asked less often than the analyzer looks. */
const TICKS = 2
const OTHERS_MAX = 50

interface Listed {
  forecasts: ForecastAnswer[]
  nextCursor: string | null
}

export function SubjectPage({ route }: { route: Route }) {
  const { quota, subject } = subjectOf(route)
  const { tenant, consumer } = subject
  const ticks = useTicks(TICKS)
  const listed = useResource<Listed>(
    `/v1/forecasts?${queryOf({ tenant, consumer, quota: (tenant ?? consumer) ? undefined : quota, limit: 1_000 })}`,
    ticks,
  )
  const isIts = (one: ForecastAnswer) => one.quota === quota && JSON.stringify(one.subject) === JSON.stringify(subject)
  const followed = listed.answer?.forecasts.find(isIts)
  // A subject that is not followed may have a path all the same; one of which nothing can be said has none.
  const isListed = listed.answer !== null || listed.error !== null
  const hasPath = isListed && (followed === undefined || followed.usageAtReset !== null)
  const path = useResource<PathAnswer>(
    hasPath ? `/v1/forecasts/path?${queryOf({ quota, ...subject }, true)}` : null,
    ticks,
  )
  return html`
    <p class="crumbs"><a href=${linkTo('')}>Runs out next</a> / ${quota}${followed === undefined ? '' : shadowWords(followed)}</p>
    <${Heading} title=${formatSubject(subject)} />
    ${
      followed !== undefined && !hasPath
        ? html`<${Unforeseen} forecast=${followed} />`
        : html`<${Answered} of=${path}>${(answer: PathAnswer) => html`<${Outlook} path=${answer} />`}<//>`
    }
    <div class="columns">
      <${SubjectDenials} quota=${quota} subject=${subject} />
      <${Reservations} quota=${quota} subject=${subject} />
    </div>
    <${OtherQuotas} forecasts=${(listed.answer?.forecasts ?? []).filter(one => !isIts(one))}
      isCut=${(listed.answer?.nextCursor ?? null) !== null}
      all=${linkTo('', (tenant ?? consumer) ? { search: consumer ?? tenant ?? '' } : { quota })} />
    <${RecentCalls} quota=${quota} subject=${subject} />
  `
}

/** Of a window that never resets, or is too short to be forecast. */
function Unforeseen({ forecast }: { forecast: ForecastAnswer }) {
  const nowMs = useNow(1_000)
  return html`<${Standing} forecast=${forecast} nowMs=${nowMs} /><p class="hint after">${forecast.why}</p>`
}

function Outlook({ path }: { path: PathAnswer }) {
  const nowMs = useNow(1_000)
  const [wish, setWish] = useState(AS_IT_IS)
  const { forecast } = path
  return html`
    <${Standing} forecast=${forecast} nowMs=${nowMs} />
    <div class="columns wide-first">
      <section class="panel" aria-labelledby="path">
        <div class="panel-head"><h2 id="path">Use until the reset</h2>
          <span class="hint">${formatInstant(forecast.windowStartMs, nowMs)} – ${formatInstant(forecast.windowEndMs, nowMs)}</span></div>
        <${FanChart} path=${path} ...${conditionsOf(wish, forecast.limit)} />
        <p class="hint">${forecast.why}${forecast.confidence === 'normal' ? '' : ` Confidence: ${forecast.confidence}.`}</p>
      </section>
      <${WhatIf} forecast=${forecast} wish=${wish} onWish=${setWish} nowMs=${nowMs} />
    </div>
  `
}

function Standing({ forecast, nowMs }: { forecast: ForecastAnswer; nowMs: number }) {
  const { used, limit, unit, probability, exhaustionAtMs, headroom, burnRate, windowEndMs } = forecast
  const { p10, p90 } = exhaustionAtMs
  const share = shareUsed(forecast)
  const tone = toneOf(probability, share)
  const at = (atMs: number | null) => (atMs === null ? 'after the reset' : formatInstant(atMs, nowMs))
  const left =
    headroom === null ? '' : `8 in 10: ${formatAmount(headroom.p10, unit)} to ${formatAmount(headroom.p90, unit)}`
  const more = [...[upstreamWords(forecast, nowMs) ?? []].flat(), ...slowedWords(forecast, nowMs)]
  return html`<${Blocked} forecast=${forecast} nowMs=${nowMs} />
  <dl class="tiles" aria-label="Standing">
    <${Tile} label="Used" value=${formatAmount(used, unit)} note=${`${limitWords(forecast)}${limit === null ? '' : `, ${formatShare(share)}`}`} />
    <${Tile} label="Risk of running out" value=${formatShare(probability)} tone=${tone === 'good' ? '' : tone} note=${`burn rate ${formatNumber(burnRate)}`} />
    <${Tile} label="Runs out" value=${runsOutWords(forecast, nowMs)} note=${isUsedUp(forecast) || p10 === null ? '' : `8 in 10: ${at(p10)} to ${at(p90)}`} />
    <${Tile} label="Left at the reset" value=${formatAmount(headroom?.p50 ?? null, unit)} note=${left} />
    <${Tile} label="Reset" value=${formatWhen(windowEndMs, nowMs)} note=${formatInstant(windowEndMs, nowMs)} />
  </dl>
  ${more.length > 0 && html`<p class="hint after">${more.join(' ')}</p>`}`
}

function Blocked({ forecast: { blocked }, nowMs }: { forecast: ForecastAnswer; nowMs: number }) {
  if (blocked === null) return null
  const until =
    blocked.untilMs === null ? 'until somebody lifts the block' : `until ${formatInstant(blocked.untilMs, nowMs)}`
  return html`<div class="failure" role="status"><strong>This ${blocked.what} is blocked</strong> ${until}, whatever is left.</div>`
}

/** Other forecasts of the same tenant and consumer; of more than are known where these are cut. `all` leads to all of them. */
function OtherQuotas({ forecasts, isCut, all }: { forecasts: readonly ForecastAnswer[]; isCut: boolean; all: string }) {
  if (forecasts.length === 0) return null
  const rest = restWords(OTHERS_MAX, forecasts.length, isCut)
  return html`<${Panel} id="others" title="Its other quotas">
    <ul class="rows">${forecasts
      .slice(0, OTHERS_MAX)
      .map(
        one => html`<li key=${`${one.quota} ${JSON.stringify(one.subject)}`}><${OtherQuota} forecast=${one} /></li>`,
      )}</ul>
    ${rest !== null && html`<p class="hint">${rest} <a href=${all}>See all</a></p>`}
  <//>`
}

function OtherQuota({ forecast }: { forecast: ForecastAnswer }) {
  const { quota, subject, used, unit, probability } = forecast
  const tone = toneOf(probability, shareUsed(forecast))
  return html`
    <a href=${subjectLink(quota, subject)}>${quota}<small>${shadowWords(forecast)} ${formatSubject(subject)}</small></a>
    <span>${formatAmount(used, unit)} <small>${limitWords(forecast)}</small><${Bar} share=${shareUsed(forecast)} tone=${tone} /></span>
    <span class=${`risk ${tone}`}>${probability === null ? '' : `${formatShare(probability)} risk`}</span>
  `
}
