/** Windows as Envoy's rate limit service names them. */
import type { WindowSpec } from '../../usage/window.ts'
import { UNIT, type WindowUnit } from './rls-messages.ts'

const BY_LENGTH_MS: Readonly<Record<number, WindowUnit>> = {
  1000: UNIT.second,
  60000: UNIT.minute,
  3600000: UNIT.hour,
  86400000: UNIT.day,
  604800000: UNIT.week,
}

/** `UNKNOWN` for windows that the protocol has no unit for. */
export function windowUnit(window: WindowSpec): WindowUnit {
  switch (window.kind) {
    case 'fixed':
      return byLength(window.everySeconds * 1000)
    case 'calendar':
      return UNIT[window.every]
    case 'sliding':
      return byLength(window.lengthMs)
    case 'rate':
      return byLength(window.periodMs)
    case 'held':
      return UNIT.unknown
  }
}

const byLength = (lengthMs: number) => BY_LENGTH_MS[lengthMs] ?? UNIT.unknown
