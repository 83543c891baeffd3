/** Why a call may pass or may not, in words: every quota that covers it, what was adjusted, and blocks. */
import type { Block } from '../policy/adjustment.ts'
import { elsewhereNow, elsewhereWords } from '../policy/learned.ts'
import type { Adjusted, Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { amountWords } from '../usage/units.ts'
import type { WindowSpec } from '../usage/window.ts'
import { fitsLimit } from './bucket.ts'
import type { Decision, Prepared, QuotaStanding } from './limiter.ts'

/** One quota's part. */
export interface QuotaExplanation extends QuotaStanding, Adjusted {
  /** What the call takes of it; 0 is unknown. */
  cost: number
  /** Whether the call fits, without any other quota. */
  fits: boolean
  words: string
}

export interface Explanation {
  isAllowed: boolean
  summary: string
  quotas: QuotaExplanation[]
}

/** `decision` is what `Limiter.look` answers to `prepared`. */
export function explain(prepared: Prepared, decision: Decision, policy: Policy): Explanation {
  const quotas = prepared.quotas.flatMap((quota, index) => {
    const claim = prepared.claims[index]
    const standing = decision.quotas[index]
    if (claim === undefined || standing === undefined) return []
    const { nowMs } = prepared
    const adjusted = policy.adjusted(quota, claim.subject, nowMs)
    const remaining = standing.remaining ?? Number.POSITIVE_INFINITY
    const fits = claim.isEnforced ? !decision.violated.includes(quota.name) : fitsLimit(0, claim.cost, remaining)
    const part = { ...standing, ...adjusted, cost: claim.cost, fits }
    return [{ ...part, words: quotaWords(quota, part, decision) }]
  })
  return {
    isAllowed: decision.isAllowed && decision.block === null,
    summary: summaryOf(prepared, decision),
    quotas,
  }
}

function summaryOf({ quotas }: Prepared, decision: Decision): string {
  const { isAllowed, block, isDegraded, binding, violated } = decision
  if (block !== null) return `This call is refused, whatever the quotas say: ${blockWords(block)}.`
  if (isDegraded && decision.quotas.length === 0) {
    const why = isAllowed ? 'no quota that covers it denies then' : `${list(violated)} then ${verb(violated)}`
    return `The limit store is away: this call would be ${isAllowed ? 'allowed' : 'denied'}, as ${why} (onStoreFailure).`
  }
  const alone = isDegraded ? 'The limit store is away, and this limiter decides by what it knows alone. ' : ''
  if (quotas.length === 0) return 'This call would be allowed: no quota covers it.'
  if (isAllowed && binding === null)
    return `${alone}This call would be allowed: the quotas that cover it are only watched.`
  if (isAllowed) return `${alone}This call would be allowed. Least is left of ${binding}.`
  return `${alone}This call would be denied by ${list(violated)}. ${waitWords(decision)}`
}

function waitWords({ binding, violated, retryAfterMs, nowMs }: Decision): string {
  const wait =
    retryAfterMs === null
      ? 'Waiting does not help'
      : `It fits again at ${iso(nowMs + retryAfterMs)}, in ${seconds(retryAfterMs)}, if nobody else spends`
  const others = violated.length > 1 ? `${binding} is in the way the longest. ` : ''
  return `${others}${wait}.`
}

const verb = (names: readonly string[]) => (names.length > 1 ? 'deny' : 'denies')

function blockWords({ what, value, untilMs }: Block): string {
  const until = untilMs === null ? 'until somebody lifts the block' : `until ${iso(untilMs)}`
  return `the ${what} ${value} is blocked ${until}`
}

function quotaWords(
  quota: Quota,
  part: Omit<QuotaExplanation, 'words'>,
  { isDegraded, nowMs }: Pick<Decision, 'isDegraded' | 'nowMs'>,
): string {
  if (isDegraded && quota.onStoreFailure === 'deny') {
    return `${quota.name} cannot be counted now, and denies then (onStoreFailure).`
  }
  const isGone = isRefused(part, nowMs)
  return [
    allowed(quota, part, isGone),
    ...adjustmentWords(quota, part, nowMs),
    taken(quota, part),
    verdict(quota, part, isGone),
  ].join(' ')
}

const isRefused = ({ learned }: Adjusted, nowMs: number): boolean => (learned?.deniedUntilMs ?? 0) > nowMs

function allowed(
  { name, unit, window, per, paceOf }: Quota,
  { limit }: Omit<QuotaExplanation, 'words'>,
  isGone: boolean,
): string {
  const unsaid = `${name} allows what the provider says, and it has not said it yet`
  if (limit === null) return isGone ? `${unsaid}.` : `${unsaid}: nothing is denied.`
  const whose = per.length === 0 ? 'all calls together' : `each ${per.map(({ name: one }) => one).join(' and ')}`
  const why = paceOf === null ? '' : `, so that what is left of ${paceOf.name} lasts until its reset`
  return `${name} allows ${whose} ${amountWords(limit, unit)} ${unit} ${windowWords(window, unit)}${why}.`
}

function windowWords(window: WindowSpec, unit: string): string {
  switch (window.kind) {
    case 'fixed':
      return `per ${seconds(window.everySeconds * 1000)}`
    case 'calendar':
      return `per ${window.every} (${window.timezone})`
    case 'sliding':
      return `in any ${seconds(window.lengthMs)}`
    case 'rate': {
      const burst = window.burst === null ? '' : `, at most ${amountWords(window.burst, unit)} at once`
      return `per ${seconds(window.periodMs)}, evenly${burst}`
    }
    case 'held':
      return 'at a time'
  }
}

function adjustmentWords({ limit, unit }: Quota, adjusted: Adjusted, nowMs: number): string[] {
  const count = (amount: number) => amountWords(amount, unit)
  const { override, grants, reset, learned } = adjusted
  const words: string[] = []
  const instead = limit === null ? 'what the provider says' : count(limit)
  if (override !== null) words.push(`An override gives this one ${count(override)} instead of ${instead}.`)
  if (isRefused(adjusted, nowMs))
    words.push(`The provider refuses calls until ${iso(learned?.deniedUntilMs ?? 0)}: its quota is gone.`)
  const sinceMs = reset?.fromMs ?? 0
  const elsewhere = elsewhereNow(learned, { sinceMs, nowMs })
  if (elsewhere > 0) words.push(`By what the provider says, ${elsewhereWords(count(elsewhere), sinceMs)}.`)
  for (const { amount, untilMs, subject } of grants) {
    words.push(`A grant ${subject === null ? 'for everybody ' : ''}adds ${count(amount)} until ${iso(untilMs)}.`)
  }
  if (reset !== null)
    words.push(`A reset forgave what was used before (${count(reset.used)}), until ${iso(reset.untilMs)}.`)
  return words
}

function taken(
  { window, counts, unit }: Quota,
  { used, reserved, remaining, resetAtMs }: Omit<QuotaExplanation, 'words'>,
): string {
  const count = (amount: number) => amountWords(amount, unit)
  const left = remaining === null ? '' : `, ${count(remaining)} remain`
  if (window.kind === 'held') return `${count(reserved)} are under way, ${count(remaining ?? 0)} more may begin.`
  const held = reserved > 0 ? `, ${count(reserved)} are held for calls under way` : ''
  const by = counts === 'records' ? ' by call records' : ''
  return `${count(used)} ${unit} are used${by}${held}${left}; all of it is free at ${iso(resetAtMs)}.`
}

function verdict(
  { enforcement, limit, unit }: Quota,
  { cost, fits, remaining }: Omit<QuotaExplanation, 'words'>,
  isGone: boolean,
): string {
  const count = (amount: number) => amountWords(amount, unit)
  const needs = cost > 0 ? `This call takes ${count(cost)}` : 'What this call takes is not known before it is made'
  if (fits) return cost > 0 ? `${needs} and fits.` : `${needs}: it passes while anything remains.`
  const few = isGone ? 'the provider lets nothing pass' : `${count(remaining ?? 0)} are not enough`
  const why = limit === 0 ? 'a quota of 0 allows nothing' : few
  return enforcement === 'shadow'
    ? `${needs}: ${why}, but the quota is only watched (shadow) and denies nothing.`
    : `${needs}: ${why}.`
}

const iso = (atMs: number) => new Date(atMs).toISOString()
const seconds = (ms: number) => `${Math.ceil(ms / 1000).toLocaleString('en-US')} s`
const list = (names: readonly string[]) => names.join(' and ')
