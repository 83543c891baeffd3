/** What all pages are made of. */
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ApiError } from './api.ts'
import { formatInstant, formatWhen, sentenceOf } from './format.ts'
import { html } from './html.ts'
import { linkTo } from './router.ts'
import type { Resource } from './use-resource.ts'

const COPIED_MS = 2_000

/** A page's heading; it takes the focus when the page is opened, so that a screen reader begins there. */
export function Heading({ title, children }: { title: string; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${title} · Quotacast`
    heading.current?.focus({ preventScroll: true })
  }, [title])
  return html`<header class="page-head">
    <h1 ref=${heading} tabindex="-1">${title}</h1>
    ${children}
  </header>`
}

/** A number with its name; the first thing that is read. */
export function Tile({ label, value, note, tone }: { label: string; value: string; note?: string; tone?: string }) {
  return html`<div class=${`tile ${tone ?? ''}`}>
    <dt>${label}</dt>
    <dd>${value}</dd>
    ${note !== undefined && html`<dd class="note">${note}</dd>`}
  </div>`
}

/** What to do where there is nothing to show. */
export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) =>
  html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`

/** Failures of the API's own, of which its answer says no more than a code. */
const AWAY: Readonly<Record<string, string>> = {
  ROLE_UNAVAILABLE: 'The role that is asked for this, limiter or collector, does not answer.',
  STORE_UNAVAILABLE: 'The store does not answer.',
}

/** What went wrong, and what to do about it. */
export function Failure({ error: { status, code, message } }: { error: ApiError }) {
  const back = html`<a href=${linkTo('')}>see what runs out next</a>`
  const hint =
    status === 403
      ? 'Log in with a token that may see this.'
      : status === 404
        ? html`It may have been renamed or removed: ${back}.`
        : status === 400
          ? html`The address may be wrong: ${back}.`
          : 'It is tried again by itself.'
  return html`<div class="failure" role="alert"><strong>${AWAY[code] ?? sentenceOf(message)}</strong> ${hint}</div>`
}

/** The content once there is an answer; until then that it is awaited, or why there is none. */
export function Answered<T>({ of, children }: { of: Resource<T>; children: (answer: T) => ComponentChildren }) {
  const { answer, error } = of
  if (answer === null && error === null) return html`<p class="waiting" role="status">Loading …</p>`
  return html`${error !== null && html`<${Failure} error=${error} />`}${answer !== null && children(answer)}`
}

/** An instant as seen from now, with the exact one when pointed at. */
export const When = ({ atMs, nowMs }: { atMs: number; nowMs: number }) =>
  html`<time datetime=${new Date(atMs).toISOString()} title=${new Date(atMs).toString()}>${formatWhen(atMs, nowMs)}</time>`

/** The instant itself. */
export const At = ({ atMs, nowMs }: { atMs: number; nowMs: number }) =>
  html`<time datetime=${new Date(atMs).toISOString()} title=${formatWhen(atMs, nowMs)}>${formatInstant(atMs, nowMs)}</time>`

/** A share as a bar; what it says is beside it as text. */
export const Bar = ({ share, tone = '' }: { share: number; tone?: string }) =>
  html`<span class=${`bar ${tone}`} aria-hidden="true"><i style=${{ width: `${Math.min(100, Math.max(0, share * 100))}%` }} /></span>`

/** Values over time without axes: a shape beside numbers that say the same. */
export function Sparkline({ values, label }: { values: readonly number[]; label: string }) {
  const most = Math.max(1, ...values)
  const step = values.length > 1 ? 100 / (values.length - 1) : 0
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(23 - (22 * value) / most).toFixed(1)}`)
  return html`<svg class="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=${label}>
    <polyline points=${points.join(' ')} />
  </svg>`
}

/** How probable, as a colour: words and numbers say it too. */
export const toneOf = (probability: number | null, share = 0): string =>
  share >= 1 || (probability ?? 0) >= 0.8 ? 'bad' : (probability ?? 0) >= 0.5 ? 'warn' : 'good'

/** Text to be pasted elsewhere. Without TLS, from another machine, a browser has no clipboard for pages. */
export function Snippet({ text, label }: { text: string; label: string }) {
  const [isCopied, setIsCopied] = useState(false)
  const copy = () => {
    navigator.clipboard.writeText(text).then(
      () => {
        setIsCopied(true)
        setTimeout(() => setIsCopied(false), COPIED_MS)
      },
      () => setIsCopied(false),
    )
  }
  return html`<div class="snippet">
    ${'clipboard' in navigator && html`<button type="button" onClick=${copy} aria-label=${`Copy ${label}`}>${isCopied ? 'Copied' : 'Copy'}</button>`}
    <pre tabindex="0" role="region" aria-label=${label}>${text}</pre>
  </div>`
}

/** One of some values. */
export function Choice({
  label,
  value,
  options,
  onChange,
}: {
  label: string
  value: string
  options: readonly { value: string; text: string }[]
  onChange: (value: string) => void
}) {
  return html`<label class="choice"><span>${label}</span>
    <select value=${value} onChange=${(event: { currentTarget: HTMLSelectElement }) => onChange(event.currentTarget.value)}>
      ${options.map(option => html`<option value=${option.value}>${option.text}</option>`)}
    </select>
  </label>`
}

/** A table that scrolls by itself where it is wider than the page. */
export const Table = ({
  label,
  head,
  children,
}: {
  label: string
  head: readonly string[]
  children?: ComponentChildren
}) =>
  html`<div class="table" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead><tr>${head.map(text => html`<th scope="col">${text}</th>`)}</tr></thead>
      <tbody>${children}</tbody>
    </table>
  </div>`

/** A part of a page with a heading of its own. */
export const Panel = ({ id, title, children }: { id: string; title: string; children?: ComponentChildren }) =>
  html`<section class="panel" aria-labelledby=${id}><div class="panel-head"><h2 id=${id}>${title}</h2></div>${children}</section>`

/** What a part of a subject's page is about. */
export interface SubjectProps {
  quota: string
  subject: Readonly<Record<string, string>>
}
