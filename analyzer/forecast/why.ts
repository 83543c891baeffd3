/** What a forecast rests on, or why there is none, in words. */
import { periodMsOf, periodsKnown } from './analogs.ts'
import type { Question } from './features.ts'
import { firstUseMs, type History, reachedMs, totalBefore, totalBetween } from './history.ts'
import { type Outlook, originsOf, sourceWeights } from './outlook.ts'
import type { Peers } from './peers.ts'

const DAY_MS = 86_400_000
const WEEK_DAYS = 7
/** What is between these, as a share of what was usual, is as usual. */
const USUAL = { least: 0.8, most: 1.25 }
/** From here on a ratio is told in whole numbers. */
const RATIO_WHOLE = 10
/** Windows of fewer steps get rate and headroom only: what is known comes too late for them. */
export const WINDOW_STEPS_MIN = 5
/** Fewer steps of history than this say nothing. */
export const STEPS_MIN = 3
/** From so many earlier days or windows on, a forecast is as good as its series allows. */
export const PERIODS_NORMAL = 3

/** Others like the subject, and how much they count. */
export interface Others {
  peers: Peers
  weight: number
}

/** Why nothing can be said about the rest of this window, or `null`. */
export function unknowable(
  { history, nowMs, windowStartMs, windowEndMs }: Question,
  hasOthers: boolean,
): string | null {
  if (windowEndMs - windowStartMs < WINDOW_STEPS_MIN * history.stepMs) {
    const shortest = inWords(WINDOW_STEPS_MIN * history.stepMs)
    return `Windows under ${shortest} end before their calls are known: rate and use only.`
  }
  const firstMs = firstUseMs(history)
  const knownMs = nowMs - firstMs
  if (knownMs <= 0 || firstMs >= history.endMs) return 'Nothing was used yet.'
  if (!hasOthers && knownMs < STEPS_MIN * history.stepMs) return `${firstUseInWords(knownMs)}.`
  return null
}

/** In words, what the forecast rests on. */
export function whyOf({ history, nowMs }: Question, outlook: Outlook, others: Others | null): string {
  const { windowMs } = outlook
  const knownMs = nowMs - firstUseMs(history)
  const periods = periodsKnown(history, nowMs, windowMs)
  const like = others
    ? `; ${others.peers.count} other ${others.peers.who} count for ${Math.round(100 * others.weight)} %`
    : ''
  if (others?.weight === 1) return `${firstUseInWords(knownMs)}: ${like.slice(2)}.`
  if (periods === 0) return `Only ${inWords(knownMs)} of history: the recent rate is extended${like}.`
  const periodMs = periodMsOf(windowMs)
  const name = periodMs < DAY_MS ? 'window' : 'day'
  const past = periods === 1 ? `one earlier ${name}` : `${periods} earlier ${name}s`
  const level = levelInWords(history, nowMs, periodMs)
  if (periods < PERIODS_NORMAL) return `Only ${past} known${level}${like}.`
  const shares = Array.from(sourceWeights(outlook), weight => Math.round(100 * weight))
  const said = [
    `the same time of ${past}`,
    'the recent rate',
    'the pattern of hours, days and weeks',
    `what followed ${name}s like the last one`,
    'the rate and chance alone',
  ]
    .map((words, index) => ({ words, share: shares[index] ?? 0 }))
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share)
    .map(({ words, share }) => `${words} (${share} %)`)
  const learnt = originsOf(outlook) > 0 ? ', weighed by how each did before' : ''
  return `From ${said.join(', ')}${learnt}${level}.`
}

/** Which instant of its step it was is not known. */
const firstUseInWords = (knownMs: number): string => `Its first use was less than ${inWords(knownMs, Math.ceil)} ago`

/** How the last period compares with those of the week before (of windows, as many), where that is worth saying. */
function levelInWords(history: History, nowMs: number, periodMs: number): string {
  const recent = totalBetween(history, nowMs - periodMs, nowMs)
  if (recent === 0) {
    const lastUseMs = reachedMs(history, history.startMs, totalBefore(history, nowMs))
    return `; idle for the last ${lastInWords(nowMs - lastUseMs)}`
  }
  const earlier = Math.min(WEEK_DAYS, periodsKnown(history, nowMs - periodMs, periodMs))
  if (earlier < 1) return ''
  const ratio = (earlier * recent) / totalBetween(history, nowMs - (earlier + 1) * periodMs, nowMs - periodMs)
  // After a weekend, or a night, there is more again as there always is.
  const cycleMs = periodMs < DAY_MS ? DAY_MS : WEEK_DAYS * DAY_MS
  const then = totalBetween(history, nowMs - periodMs - cycleMs, nowMs - cycleMs)
  if (!Number.isFinite(ratio) || isUsual(ratio) || isUsual(recent / then)) return ''
  const name = periodMs < DAY_MS ? 'window' : 'day'
  const before = earlier === 1 ? `use of the ${name} before` : `mean use of the ${earlier} ${name}s before`
  const times = ratio >= RATIO_WHOLE ? Math.round(ratio) : ratio.toFixed(1)
  return `; the last ${lastInWords(periodMs)} had ${times} times the ${before}`
}

const isUsual = (ratio: number): boolean => ratio >= USUAL.least && ratio <= USUAL.most

/** As it follows on "the last": no longer than it is. */
const lastInWords = (ms: number): string => inWords(ms, Math.floor).replace(/^1 /, '')

/** A duration in the largest unit that it fills. */
function inWords(ms: number, rounded: (count: number) => number = Math.round): string {
  const units = [
    [DAY_MS, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1_000, 'second'],
  ] as const
  const [unitMs, name] = units.find(([unitMs]) => ms >= unitMs) ?? [1_000, 'second']
  const count = Math.max(1, rounded(ms / unitMs))
  return `${count} ${name}${count === 1 ? '' : 's'}`
}
