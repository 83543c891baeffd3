/** What an alert is about, in a few words: the same ones whether it is over or not. */

import { formatShare, formatSubject } from './format.ts'
import { html } from './html.ts'
import { subjectLink } from './router.ts'
import type { AlertAnswer } from './silencing.ts'

type Told = Pick<AlertAnswer, 'quota' | 'subject' | 'rule' | 'level' | 'probability'>

export const AlertSubject = ({ alert: { quota, subject } }: { alert: Told }) =>
  html`<td class="name stacked"><a href=${subjectLink(quota, subject)}>${formatSubject(subject)}</a> <small>${quota}</small></td>`

export function AlertKind({ alert: { rule, level, probability } }: { alert: Told }) {
  if (rule === 'exhaustion')
    return html`<span class="chip warn">likely to run out</span> <small>${formatShare(probability)}</small>`
  return level === 1
    ? html`<span class="chip bad">used up</span>`
    : html`<span class="chip warn">${formatShare(level)} used</span>`
}
