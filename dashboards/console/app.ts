/** The frame of all pages: who is logged in, where one can go, whether what is shown is live. */
import type { FunctionComponent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { AlertsPage } from './alerts-page.ts'
import { type ApiError, getJson, logOut, otherTabs, sessionEnds } from './api.ts'
import type { SessionAnswer } from './foreign-answers.ts'
import { formatDuration, formatInstant, formatName, sentenceOf } from './format.ts'
import { html } from './html.ts'
import { connectLive, useLive } from './live.ts'
import { Login } from './login.ts'
import { NextPage } from './next-page.ts'
import { QualityPage } from './quality-page.ts'
import { RejectionsPage } from './rejections-page.ts'
import { linkTo, type Route, useRoute } from './router.ts'
import { SourcesPage } from './sources-page.ts'
import { SubjectPage } from './subject-page.ts'
import { TrendsPage } from './trends-page.ts'
import { toApiError, useNow } from './use-resource.ts'

interface PageProps {
  route: Route
  /** Who looks. */
  session: SessionAnswer
}

/** In the order of the menu; a page without a title is opened from others. */
const PAGES: Readonly<Record<string, { title: string | null; page: FunctionComponent<PageProps> }>> = {
  '': { title: 'Runs out next', page: NextPage },
  alerts: { title: 'Alerts', page: AlertsPage },
  subject: { title: null, page: SubjectPage },
  trends: { title: 'Trends', page: TrendsPage },
  sources: { title: 'Sources', page: SourcesPage },
  rejections: { title: 'Rejections', page: RejectionsPage },
  quality: { title: 'Forecast quality', page: QualityPage },
}

export function App() {
  const [session, setSession] = useState<SessionAnswer | null | undefined>(undefined)
  const wasThere = useRef(false)
  if (session) wasThere.current = true
  useEffect(() => {
    const onEnd = () => setSession(null)
    const ask = () => void getJson<SessionAnswer>('/v1/session').then(setSession, onEnd)
    sessionEnds.addEventListener('end', onEnd)
    otherTabs.addEventListener('message', ask)
    ask()
    return () => {
      sessionEnds.removeEventListener('end', onEnd)
      otherTabs.removeEventListener('message', ask)
    }
  }, [])
  if (session === undefined) return html`<p class="waiting" role="status">Loading …</p>`
  if (session === null) return html`<${Login} onLogin=${setSession} hasEnded=${wasThere.current} />`
  return html`<${Frame} key=${JSON.stringify(session)} session=${session} />`
}

function Frame({ session }: { session: SessionAnswer }) {
  const route = useRoute()
  const [stays, setStays] = useState<ApiError | null>(null)
  useEffect(connectLive, [])
  // The menu of a phone is wider than the phone.
  useEffect(
    () => document.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' }),
    [route.page],
  )
  const { page } = (Object.hasOwn(PAGES, route.page) ? PAGES[route.page] : null) ?? { page: UnknownPage }
  const who = session.tenant === null ? session.name : `${session.name} · ${formatName(session.tenant)}`
  const skip = (event: Event) => {
    event.preventDefault()
    document.querySelector<HTMLElement>('h1')?.focus()
  }
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="top">
      <a class="brand" href=${linkTo('')}><span class="logo" aria-hidden="true"></span>Quotacast</a>
      <nav aria-label="Pages">
        ${Object.entries(PAGES).map(
          ([name, { title }]) =>
            title !== null &&
            html`<a href=${linkTo(name)} aria-current=${route.page === name ? 'page' : undefined}>${title}</a>`,
        )}
      </nav>
      <div class="account">
        <${LiveDot} />
        <span class="who" title="Whose token this session stands for">${who}</span>
        <button type="button" class="quiet" onClick=${() => logOut().catch((error: unknown) => setStays(toApiError(error)))}>Log out</button>
      </div>
    </header>
    <main id="main">
      ${stays !== null && html`<div class="failure" role="alert"><strong>You are still logged in.</strong> ${sentenceOf(stays.message)} Try again.</div>`}
      <${Standstill} /><${page} key=${JSON.stringify(route)} route=${route} session=${session} />
    </main>
  `
}

function LiveDot() {
  const { state, tick } = useLive()
  const age = tick?.dataAgeMs ?? null
  const words =
    state === 'connecting'
      ? 'Connecting'
      : state === 'away'
        ? 'Reconnecting'
        : tick?.skipped != null
          ? 'Forecasts stand still'
          : age === null
            ? 'Live, no calls yet'
            : `Live, newest call ${formatDuration(age)} old`
  const tone = state === 'live' && tick?.skipped == null ? 'good' : 'warn'
  return html`<span class=${`live ${tone}`} title=${tick?.skipped ?? words}><i aria-hidden="true"></i><span>${words}</span></span>`
}

/** That what is shown is not what is. */
function Standstill() {
  const { state, tick } = useLive()
  const nowMs = useNow(60_000)
  const asOf = tick?.asOfMs == null ? '' : ` What is shown is of ${formatInstant(tick.asOfMs, nowMs)}.`
  const why =
    state === 'away'
      ? 'The analyzer does not answer.'
      : state === 'live' && tick?.skipped != null
        ? `The forecasts stand still: ${tick.skipped}.`
        : null
  return why === null
    ? null
    : html`<div class="failure" role="alert"><strong>${why}</strong>${asOf} It is tried again by itself.</div>`
}

const UnknownPage = () =>
  html`<div class="empty"><p class="empty-title">There is no such page.</p><p><a href=${linkTo('')}>See what runs out next</a></p></div>`
