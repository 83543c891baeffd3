/** For whom nobody is told for a while. */
import type { Control } from '../control/control.ts'
import type { Silence } from '../policy/adjustment.ts'
import type { Alert } from './alert.ts'

/** Answers of an alert until when silences hold for it, or `null`. What may be kept under the kind is checked where it is made. */
export function silencesNow(
  control: Pick<Control, 'current' | 'keys'>,
  nowMs: number,
): (alert: Alert) => number | null {
  const silences = control
    .keys('silence')
    .map(key => control.current('silence', key).value as Silence)
    .filter(({ untilMs }) => untilMs > nowMs)
  return alert => {
    const ends = silences.filter(silence => isOf(alert, silence)).map(({ untilMs }) => untilMs)
    return ends.length === 0 ? null : Math.max(...ends)
  }
}

function isOf({ quota, subject }: Alert, silence: Silence): boolean {
  if (silence.quota !== null && silence.quota !== quota) return false
  const named = silence.subject
  return named === null || Object.entries(subject).every(([name, value]) => named[name] === value)
}
