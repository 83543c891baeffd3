/** Where an alert is silenced: of what, until when, and why. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { putJson } from './api.ts'
import { sentenceOf } from './format.ts'
import { html } from './html.ts'
import { Choice } from './parts.ts'
import { type AlertAnswer, endsOf, type SilenceWish, scopesOf, silenceOf } from './silencing.ts'
import { toApiError } from './use-resource.ts'

const REASON_CHARACTERS_MAX = 2_048
type Input = { currentTarget: HTMLInputElement }

export interface SilenceDialogProps {
  alert: AlertAnswer
  onSilenced: () => void
  onClose: () => void
}

export function SilenceDialog({ alert, onSilenced, onClose }: SilenceDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [openedMs] = useState(Date.now())
  const [wish, setWish] = useState<SilenceWish>({ scope: 'subject', end: '1h', at: '', reason: '' })
  const [problem, setProblem] = useState<string | null>(null)
  const [isBusy, setIsBusy] = useState(false)
  const choose = (part: Partial<SilenceWish>) => setWish({ ...wish, ...part })
  useEffect(() => dialog.current?.showModal(), [])
  const submit = (event: Event) => {
    event.preventDefault()
    const nowMs = Date.now()
    const value = silenceOf(alert, wish, nowMs)
    if (value === null) return setProblem('That time is over already: choose a later one.')
    setIsBusy(true)
    putJson(`/v1/silences/${alert.quota}-${nowMs}`, { version: 0, reason: wish.reason, value }).then(
      () => {
        onSilenced()
        dialog.current?.close()
      },
      (error: unknown) => {
        setProblem(`Nothing is silenced. ${sentenceOf(toApiError(error).message)}`)
        setIsBusy(false)
      },
    )
  }
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="silence">
    <form onSubmit=${submit}>
      <h2 id="silence">Silence</h2>
      <${Choice} label="What" value=${wish.scope} options=${scopesOf(alert)} onChange=${(scope: string) => choose({ scope })} />
      <${Choice} label="How long" value=${wish.end} options=${endsOf(alert, openedMs)} onChange=${(end: string) => choose({ end })} />
      ${
        wish.end === 'at' &&
        html`<label class="choice"><span>Until, in your time zone</span>
        <input type="datetime-local" required value=${wish.at} onInput=${(event: Input) => choose({ at: event.currentTarget.value })} /></label>`
      }
      <label class="choice"><span>Why</span>
        <input required maxlength=${REASON_CHARACTERS_MAX} value=${wish.reason} onInput=${(event: Input) => choose({ reason: event.currentTarget.value })} /></label>
      <p class="hint">Nobody is told meanwhile; what is still wrong at the end is told then. Calls are denied as before.</p>
      <p class="problem" role="alert">${problem}</p>
      <div class="actions">
        <button type="button" onClick=${() => dialog.current?.close()}>Cancel</button>
        <button type="submit" class="main" disabled=${isBusy}>Silence</button>
      </div>
    </form>
  </dialog>`
}
