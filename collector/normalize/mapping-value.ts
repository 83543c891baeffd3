/** The conversions of a mapping: text and numbers as gateways write them, to the record's types and units. */
import type { DraftField } from './draft.ts'
import { type ParseInstant, parseIso, patternParser } from './time.ts'

/** What a target holds, which says how values are converted and which units make sense. */
export type TargetKind = 'text' | 'secret' | 'instant' | 'duration' | 'bytes' | 'count' | 'money'

/** The fields that a mapping may fill, beside `labels.NAME`. */
export const TARGETS: Readonly<
  Record<Exclude<DraftField, 'upstreamLimits' | 'labels'> | 'credential' | 'endedAtMs', TargetKind>
> = {
  credential: 'secret',
  startedAtMs: 'instant',
  endedAtMs: 'instant',
  requestId: 'text',
  tenant: 'text',
  consumer: 'text',
  gateway: 'text',
  method: 'text',
  host: 'text',
  route: 'text',
  service: 'text',
  provider: 'text',
  model: 'text',
  providerKey: 'text',
  status: 'count',
  outcome: 'text',
  latencyMs: 'duration',
  upstreamLatencyMs: 'duration',
  requestBytes: 'bytes',
  responseBytes: 'bytes',
  inputTokens: 'count',
  cachedInputTokens: 'count',
  outputTokens: 'count',
  totalTokens: 'count',
  costMicros: 'money',
  decisionId: 'text',
  clientIp: 'text',
}
export type Target = keyof typeof TARGETS

/** Factors to the record's own unit. */
const UNITS = {
  duration: { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, min: 60_000 },
  bytes: { B: 1, kB: 1e3, MB: 1e6, KiB: 2 ** 10, MiB: 2 ** 20 },
  /** `currency` is whole units of the configured currency. */
  money: { micros: 1, cents: 1e4, currency: 1e6 },
} as const
export const UNIT_NAMES = Object.values(UNITS).flatMap(units => Object.keys(units))

const UNIX_TIMES = new Map([
  ['unix_s', 1e3],
  ['unix_ms', 1],
  ['unix_us', 1e-3],
  ['unix_ns', 1e-6],
])
/** Doubles hold seconds of today to a quarter of a microsecond; this keeps 0.979 s from becoming 978 ms. */
const CUT_TOLERANCE_MS = 1e-3

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i

/** A converted value, `null` for what says nothing, or `undefined` for what cannot be converted. */
export type Convert = (value: unknown) => string | number | null | undefined

/** The converter of a target. Answers text instead when `time` or `unit` make no sense for it. */
export function converterOf(
  kind: TargetKind,
  { time, unit }: { time: string | undefined; unit: string | undefined },
): { convert: Convert; expected: string } | string {
  if (time !== undefined && kind !== 'instant') return '`time` is for startedAtMs and endedAtMs'
  if (kind === 'instant') return instantConverter(time, unit)
  if (kind === 'text' || kind === 'secret' || kind === 'count') {
    if (unit !== undefined) return 'has no unit'
    if (kind === 'count') return { convert: toCount, expected: 'a whole number' }
    return { convert: kind === 'text' ? toKnownText : toText, expected: 'text' }
  }
  const units: Readonly<Record<string, number>> = UNITS[kind]
  const factor = unit === undefined ? 1 : units[unit]
  if (factor === undefined) return `the unit is one of ${Object.keys(units).join(', ')}`
  const convert: Convert = value => {
    const number = toNumber(value)
    if (number === undefined) return undefined
    return kind === 'duration' ? number * factor : Math.round(number * factor)
  }
  return { convert, expected: 'a number' }
}

function instantConverter(
  time: string | undefined,
  unit: string | undefined,
): { convert: Convert; expected: string } | string {
  if (unit !== undefined) return 'an instant has `time`, no `unit`'
  if (time === undefined)
    return `needs \`time\`: iso, ${[...UNIX_TIMES.keys()].join(', ')}, or a pattern such as %d/%b/%Y:%H:%M:%S %z`
  const factor = UNIX_TIMES.get(time)
  if (factor !== undefined) {
    const convert: Convert = value => {
      const number = toNumber(value)
      return number === undefined ? undefined : Math.floor(number * factor + CUT_TOLERANCE_MS)
    }
    return { convert, expected: `a number (${time})` }
  }
  const parse: ParseInstant | string = time === 'iso' ? parseIso : patternParser(time)
  if (typeof parse === 'string') return parse
  const convert: Convert = value => (typeof value === 'string' ? (parse(value.trim()) ?? undefined) : undefined)
  return { convert, expected: time === 'iso' ? 'an ISO 8601 instant' : `an instant like ${time}` }
}

const toText: Convert = value =>
  typeof value === 'string'
    ? value
    : typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : undefined

/** Callers choose what bodies hold: a list in the place of a model shall not have the call uncounted. */
const toKnownText: Convert = value => toText(value) ?? null

function toNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value !== 'string') return undefined
  const text = value.trim()
  return NUMBER.test(text) ? Number(text) : undefined
}

const toCount: Convert = value => {
  const number = toNumber(value)
  return number !== undefined && Number.isInteger(number) ? number : undefined
}
