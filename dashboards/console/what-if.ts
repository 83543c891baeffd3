/** Another limit, or more to do: how the forecast would be. Two sliders that move the chart at once. */
import { useEffect, useState } from 'preact/hooks'
import type { ForecastAnswer } from '../../analyzer/api/forecast-schema.ts'
import type { WhatIfAnswer } from '../../analyzer/api/what-if.ts'
import { type ApiError, postJson } from './api.ts'
import { formatAmount, formatGrowth, formatShare, formatUnits } from './format.ts'
import { html } from './html.ts'
import { Failure } from './parts.ts'
import { runsOutWords } from './standing.ts'
import { toApiError, useSettled } from './use-resource.ts'
import { AS_IT_IS, conditionsOf, STEPS_MAX, type Wish } from './wish.ts'

/** Moving goes on for so long without a question. */
const SETTLE_MS = 120

export interface WhatIfProps {
  forecast: ForecastAnswer
  wish: Wish
  onWish: (wish: Wish) => void
  nowMs: number
}

export function WhatIf({ forecast, wish, onWish, nowMs }: WhatIfProps) {
  const { answer, error } = useWhatIf(forecast, wish)
  const { limit, growth } = conditionsOf(wish, forecast.limit)
  const isChanged = wish.limitSteps !== 0 || wish.growthSteps !== 0
  return html`<section class="panel what-if" aria-labelledby="what-if">
    <div class="panel-head">
      <h2 id="what-if">What if?</h2>
      <button type="button" class="quiet" disabled=${!isChanged} onClick=${() => onWish(AS_IT_IS)}>As it is</button>
    </div>
    ${
      limit !== null &&
      forecast.limit !== null &&
      html`<${Slider} label="Limit" steps=${wish.limitSteps} onSteps=${(limitSteps: number) => onWish({ ...wish, limitSteps })}
      words=${`${formatUnits(limit, forecast.unit)} (${formatGrowth(limit / forecast.limit)})`} />`
    }
    <${Slider} label="Demand from now on" steps=${wish.growthSteps} onSteps=${(growthSteps: number) => onWish({ ...wish, growthSteps })}
      words=${`${growth === 1 ? 'as expected' : `× ${growth.toFixed(2)} (${formatGrowth(growth)})`}`} />
    ${error !== null && html`<${Failure} error=${error} />`}
    <${Comparison} now=${forecast} whatIf=${isChanged ? (answer?.whatIf ?? null) : forecast} nowMs=${nowMs} />
  </section>`
}

function Slider({
  label,
  steps,
  words,
  onSteps,
}: {
  label: string
  steps: number
  words: string
  onSteps: (steps: number) => void
}) {
  return html`<label class="slider">
    <span>${label} <output>${words}</output></span>
    <input type="range" min=${-STEPS_MAX} max=${STEPS_MAX} step="1" value=${steps} aria-label=${label} aria-valuetext=${words}
      onInput=${(event: { currentTarget: HTMLInputElement }) => onSteps(event.currentTarget.valueAsNumber)} />
  </label>`
}

/** What is asked about; what stays as it is is not stated. */
function askedOf(wish: Wish, known: number | null) {
  const { limit, growth } = conditionsOf(wish, known)
  return limit === null || limit === known ? { growth } : { limit, growth }
}

/** The newest answer to the newest wish; older questions are given up. */
function useWhatIf({ quota, subject, limit }: ForecastAnswer, wish: Wish) {
  const [state, setState] = useState<{ answer: WhatIfAnswer | null; error: ApiError | null }>({
    answer: null,
    error: null,
  })
  const settled = useSettled(JSON.stringify({ quota, subject, ...askedOf(wish, limit) }), SETTLE_MS)
  useEffect(() => {
    const abort = new AbortController()
    postJson<WhatIfAnswer>('/v1/forecasts/what-if', JSON.parse(settled), abort.signal)
      .then(answer => setState({ answer, error: null }))
      .catch((error: unknown) => {
        if (!abort.signal.aborted) setState(known => ({ ...known, error: toApiError(error) }))
      })
    return () => abort.abort()
  }, [settled])
  return state
}

function Comparison({ now, whatIf, nowMs }: { now: ForecastAnswer; whatIf: ForecastAnswer | null; nowMs: number }) {
  const { unit } = now
  const rows: [string, (forecast: ForecastAnswer) => string][] = [
    ['Risk', ({ probability }) => formatShare(probability)],
    ['Runs out', forecast => runsOutWords(forecast, nowMs)],
    ['Use at the reset', ({ usageAtReset }) => formatAmount(usageAtReset?.p50 ?? null, unit)],
    ['Left then', ({ headroom }) => formatAmount(headroom?.p50 ?? null, unit)],
  ]
  return html`<table class="compare" aria-live="polite">
    <thead><tr><td></td><th scope="col">Now</th><th scope="col">What if</th></tr></thead>
    <tbody>
      ${rows.map(([name, of]) => html`<tr><th scope="row">${name}</th><td>${of(now)}</td><td data-what-if=${name}>${whatIf === null ? '…' : of(whatIf)}</td></tr>`)}
    </tbody>
  </table>`
}
