/** Where the token is asked for: it goes to the server once, and a cookie that no script can read comes back. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { otherTabs, postJson } from './api.ts'
import type { SessionAnswer } from './foreign-answers.ts'
import { sentenceOf } from './format.ts'
import { html } from './html.ts'
import { toApiError } from './use-resource.ts'

export function Login({ onLogin, hasEnded }: { onLogin: (session: SessionAnswer) => void; hasEnded: boolean }) {
  const [problem, setProblem] = useState<string | null>(null)
  const [isBusy, setIsBusy] = useState(false)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    document.title = 'Log in · Quotacast'
    field.current?.focus()
  }, [])
  const submit = (event: Event) => {
    event.preventDefault()
    setIsBusy(true)
    postJson<SessionAnswer>('/v1/session', { token: field.current?.value.trim() ?? '' })
      .then(session => {
        onLogin(session)
        otherTabs.postMessage('began')
      })
      .catch((error: unknown) => {
        setProblem(toApiError(error).message)
        setIsBusy(false)
        field.current?.select()
      })
  }
  return html`<main class="login">
    <form method="post" onSubmit=${submit}>
      <p class="brand"><span class="logo" aria-hidden="true"></span>Quotacast</p>
      <h1>Log in</h1>
      ${hasEnded && html`<p class="hint" role="status">The session has ended: by logging out, after 12 hours, with its token, or as the analyzer was started anew.</p>`}
      <label for="token">Token</label>
      <input ref=${field} id="token" type="password" required autocomplete="current-password" spellcheck="false"
        aria-describedby="token-help" aria-invalid=${problem !== null} />
      <p class="problem" role="alert">${problem === null ? '' : `That did not work. ${sentenceOf(problem)}`}</p>
      <button type="submit" class="main" disabled=${isBusy}>${isBusy ? 'Logging in …' : 'Log in'}</button>
      <div id="token-help" class="hint">
        <p>The admin token is in the file <code>token</code> of the data folder (<code>cat data/token</code>).</p>
        <p>For others, make one that may only read:<br /><code>npm run -s quotacast -- token create --name anna --scopes read</code></p>
      </div>
    </form>
  </main>`
}
