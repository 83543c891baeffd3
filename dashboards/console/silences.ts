/** For what nobody is told for a while. */
import { useState } from 'preact/hooks'
import { queryOf, remove } from './api.ts'
import { formatSubject, sentenceOf } from './format.ts'
import { html } from './html.ts'
import { Answered, At, Empty, Panel, Table, When } from './parts.ts'
import { subjectLink } from './router.ts'
import type { Silence } from './silencing.ts'
import { type Resource, toApiError } from './use-resource.ts'

/** `GET /v1/silences`, of which one page can hold all. */
export const SILENCES_PATH = '/v1/silences?limit=1000'
export interface SilencesAnswer {
  silences: { key: string; version: number; value: Silence }[]
}
type Listed = SilencesAnswer['silences'][number]

export interface SilencesProps {
  silences: Resource<SilencesAnswer>
  mayChange: boolean
  nowMs: number
  onChanged: () => void
}

export function Silences({ silences, mayChange, nowMs, onChanged }: SilencesProps) {
  const [problem, setProblem] = useState<string | null>(null)
  const [ending, setEnding] = useState<string | null>(null)
  const end = ({ key, version }: Listed) => {
    const query = queryOf({ version, reason: 'Ended in the console.' })
    setEnding(key)
    remove(`/v1/silences/${encodeURIComponent(key)}?${query}`)
      .then(
        () => setProblem(null),
        (error: unknown) => {
          setProblem(sentenceOf(toApiError(error).message))
          setEnding(null)
        },
      )
      .finally(onChanged)
  }
  return html`<${Panel} id="silences" title="Silences">
    ${problem !== null && html`<div class="failure" role="alert"><strong>${problem}</strong> What holds now is below.</div>`}
    <${Answered} of=${silences}>${(answer: SilencesAnswer) => {
      const shown = answer.silences.filter(({ value }) => value.untilMs > nowMs)
      return shown.length === 0
        ? html`<${Empty} title="Nothing is silenced." />`
        : html`<${Table} label="What is silenced" head=${['What', 'Until', 'Why', ...(mayChange ? ['End'] : [])]}>${shown.map(
            silence =>
              html`<${Row} key=${silence.key} silence=${silence} nowMs=${nowMs} isEnding=${ending === silence.key} onEnd=${mayChange ? () => end(silence) : null} />`,
          )}<//>`
    }}<//>
  <//>`
}

function Row({
  silence: { key, value },
  nowMs,
  isEnding,
  onEnd,
}: {
  silence: Listed
  nowMs: number
  isEnding: boolean
  onEnd: (() => void) | null
}) {
  const { quota, subject, untilMs, reason } = value
  const words = quota === null ? 'all alerts' : subject === null ? `all of ${quota}` : formatSubject(subject)
  return html`<tr>
    <td class="name stacked">${quota !== null && subject !== null ? html`<a href=${subjectLink(quota, subject)}>${words}</a> <small>${quota}</small>` : words}</td>
    <td class="stacked"><${At} atMs=${untilMs} nowMs=${nowMs} /> <small><${When} atMs=${untilMs} nowMs=${nowMs} /></small></td>
    <td class="words">${reason ?? '–'}</td>
    ${onEnd !== null && html`<td><button type="button" class="quiet" disabled=${isEnding} aria-label=${`End the silence of ${words} (${key})`} onClick=${onEnd}>End</button></td>`}
  </tr>`
}
