/**
 * What the analyzer changes by itself, by what it forecast and read: paces of quotas that would run out, and limits that
 * providers say. All of it goes through the control log, as if somebody had asked for it: every limiter is told, and every
 * change is a row of the audit with its reason.
 */
import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import type { Control } from '../control/control.ts'
import { isOvertaken } from '../control/control-error.ts'
import type { Wish } from '../control/fold.ts'
import { subjectEntryKey } from '../control/subject-entry.ts'
import type { Block, Grant, Learned, Pace, Reset, Silence } from '../policy/adjustment.ts'
import { HEARD_EVERY_MS, learnedChange } from '../policy/learned.ts'
import { paceChange } from '../policy/pace.ts'
import type { Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { subjectKey, subjectNamed } from '../policy/subject.ts'
import { isResetting } from '../usage/window.ts'
import { plainForecast, type SubjectForecast } from './subject-forecast.ts'

/** Changes in one tick, the most urgent first; others wait for the next. */
const CHANGES_MAX = 100
/** Subjects whose limits by the provider are held at once; beyond them, those not heard of lately make room for new ones. */
const LEARNED_MAX = 10_000
const LEARNED_KEPT_MS = CALLS_RETENTION_DAYS * 86_400_000
/** After its end, what people made is still listed for so long. */
const ENDED_KEPT_MS = 3_600_000
const BY = 'analyzer'

export interface SteeringDeps {
  control: Pick<Control, 'current' | 'keys' | 'change'>
  policy: () => Policy
  now: () => number
}

type Steered = Omit<Wish, 'by'>
type EndingKind = 'pace' | 'reset' | 'grant' | 'block' | 'silence' | 'upstream'
const WINDOW_ENDED = 'The window has ended.'

/** Makes the changes that follow from forecasts just made; answers how many. Throws what the control log throws. */
export async function steer(deps: SteeringDeps, forecasts: readonly SubjectForecast[]): Promise<number> {
  const { control, policy, now } = deps
  const nowMs = now()
  const { byName } = policy()
  const isFull = control.keys('upstream').length >= LEARNED_MAX
  const wishes = forecasts
    .toSorted((a, b) => (b.probability ?? 0) - (a.probability ?? 0))
    .flatMap(forecast => {
      const quota = byName.get(forecast.quota)
      if (!quota) return []
      const learned = learnedWish(deps, quota, forecast)
      return [paceWish(control, quota, forecast) ?? [], isFull && learned?.version === 0 ? [] : (learned ?? [])].flat()
    })
  const steered = new Set(wishes.map(({ key }) => key))
  const all = [...wishes, ...endedWishes(control, { steered, isFull, nowMs })].slice(0, CHANGES_MAX)
  for (const wish of all) {
    try {
      await control.change({ ...wish, by: BY })
    } catch (error) {
      // Another analyzer was faster.
      if (!isOvertaken(error)) throw error
    }
  }
  return all.length
}

function paceWish(control: SteeringDeps['control'], quota: Quota, forecast: SubjectForecast): Steered | null {
  const { subject, limit, windowEndMs, asOfMs: nowMs, exhaustionAtMs } = forecast
  if (quota.enforcement !== 'pace' || limit === null) return null
  const key = entryKeyOf(quota, subject)
  const { version, value } = control.current('pace', key)
  const held = value as Pace | null
  const pace = held !== null && held.untilMs > nowMs ? held.amount : null
  const change = paceChange(quota, {
    ...plainForecast(forecast),
    limit,
    nowMs,
    exhaustionAtMs: exhaustionAtMs.p50,
    pace,
  })
  if (change === null) return null
  const { amount, reason } = change
  const next: Pace | null = amount === null ? null : { quota: quota.name, subject, amount, untilMs: windowEndMs }
  return { kind: 'pace', key, version, value: next, reason }
}

function learnedWish({ control, policy }: SteeringDeps, quota: Quota, forecast: SubjectForecast): Steered | null {
  const { subject, upstream, asOfMs: nowMs } = forecast
  if (upstream === null) return null
  const key = entryKeyOf(quota, subject)
  const { version, value } = control.current('upstream', key)
  const { elsewhere, sinceMs } = policy().allowance(quota, keyOfNamed(quota, subject), nowMs)
  const used = forecast.used - elsewhere
  const change = learnedChange({
    ...plainForecast(forecast),
    ...{ said: upstream, known: value as Learned | null, used, nowMs, sinceMs, isResetting: isResetting(quota.window) },
  })
  return (
    change && {
      kind: 'upstream',
      key,
      version,
      value: { quota: quota.name, subject, ...change.value },
      reason: change.reason,
    }
  )
}

/**
 * What is over is removed, so that what all roles hold stays small: paces and resets of windows that ended, grants,
 * blocks and silences that have, and what nobody says any more.
 */
function endedWishes(
  control: SteeringDeps['control'],
  { steered, isFull, nowMs }: { steered: ReadonlySet<string>; isFull: boolean; nowMs: number },
): Steered[] {
  const ended = <Held>(kind: EndingKind, isOver: (held: Held) => boolean, reason: string) =>
    control.keys(kind).flatMap((key): Steered[] => {
      const { version, value } = control.current(kind, key)
      return !steered.has(key) && isOver(value as Held) ? [{ kind, key, version, value: null, reason }] : []
    })
  const heardFromMs = nowMs - (isFull ? 2 * HEARD_EVERY_MS : LEARNED_KEPT_MS)
  const isUnheard = ({ untilMs, asOfMs = untilMs, deniedUntilMs }: Learned) =>
    Math.max(asOfMs, deniedUntilMs ?? 0) < heardFromMs
  return [
    ...ended<Pace>('pace', ({ untilMs }) => untilMs <= nowMs, WINDOW_ENDED),
    ...ended<Reset>('reset', ({ untilMs }) => untilMs <= nowMs, WINDOW_ENDED),
    ...ended<Grant>('grant', ({ untilMs }) => untilMs <= nowMs - ENDED_KEPT_MS, 'It has ended.'),
    // Of one that has no end, it may have been left out.
    ...ended<Block>(
      'block',
      ({ untilMs }) => (untilMs ?? Number.POSITIVE_INFINITY) <= nowMs - ENDED_KEPT_MS,
      'It has ended.',
    ),
    ...ended<Silence>('silence', ({ untilMs }) => untilMs <= nowMs - ENDED_KEPT_MS, 'It has ended.'),
    ...ended<Learned>('upstream', isUnheard, 'The provider has not said it for long.'),
  ]
}

type NamedSubject = Readonly<Record<string, string>>

const keyOfNamed = (quota: Quota, subject: NamedSubject): string => subjectKey(subjectNamed(quota, subject))

const entryKeyOf = (quota: Quota, subject: NamedSubject): string =>
  subjectEntryKey(quota.name, keyOfNamed(quota, subject))
