/** Instants and durations as texts of a URL. */
import { instantOf } from '../usage/window.ts'
import { RequestError } from './request-error.ts'

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
/** ClickHouse's DateTime ends in February 2106; the step that holds an instant, a year at most, must end before. */
const INSTANT_MS_MAX = Date.UTC(2105, 0)

/** `90s`, `1m`, `15m`, `1h`, `7d` → milliseconds. Throws `RequestError` that names the parameter. */
export function parseDuration(name: string, text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count === undefined || unit === undefined) {
    throw new RequestError(400, 'PARAMETER_INVALID', `${name}: expected a duration such as 1m, 15m, 1h or 7d`)
  }
  return Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS]
}

/**
 * An instant of ISO 8601 with a zone, or Unix milliseconds, or a duration before `nowMs` (`-1h`) → Unix milliseconds.
 * Throws `RequestError` that names the parameter.
 */
export function parseInstant(name: string, text: string, nowMs: number): number {
  if (text.startsWith('-')) return Math.max(0, nowMs - parseDuration(name, text.slice(1)))
  const atMs = /^\d+$/.test(text) ? Number(text) : hasZone(text) ? (instantOf(text) ?? Number.NaN) : Number.NaN
  if (atMs >= 0 && atMs <= INSTANT_MS_MAX) return atMs
  const expected = 'an instant such as 2026-11-21T10:00:00Z, Unix milliseconds, or a duration before now such as -1h'
  throw new RequestError(400, 'PARAMETER_INVALID', `${name}: expected ${expected}`)
}

/** A local time would mean something else on every machine. */
const hasZone = (text: string): boolean => /^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:?\d{2})$/.test(text)
