/** Amounts of a unit for people: costs, which are kept in millionths, are told in the currency. */
import { MICROS } from '../analyzer/usage/units.ts'

/** Digits after the point, and of what is less than one. */
const DIGITS = { usual: 2, small: 4 } as const

export const amountText = (units: number, unit: string): string =>
  unit === 'cost' ? (units / MICROS).toFixed(units !== 0 && units < MICROS ? DIGITS.small : DIGITS.usual) : `${units}`

export const unitText = (unit: string, currency: string): string => (unit === 'cost' ? currency : unit)
