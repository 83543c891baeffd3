/**
 * What Grafana and its ClickHouse plugin make of a statement before they send it: conditions of variables that have all
 * values go, variables become values, macros become SQL.
 */

/** Values of a variable, or all of them. */
export type Values = readonly string[] | 'all'

export interface Expansion {
  fromMs: number
  toMs: number
  /** Step of a series. */
  stepSeconds: number
  variables: Readonly<Record<string, Values>>
}

/** Throws for a macro or variable that is not known: it would reach the engine as it stands. */
export function expand(sql: string, expansion: Expansion): string {
  const expanded = withMacros(withVariables(withoutAlls(sql, expansion), expansion), expansion)
  const left = /\$[\w{]+/.exec(expanded)
  if (left !== null) throw new Error(`${left[0]} is not expanded in: ${sql}`)
  return expanded
}

/** `$__conditionalAll(condition, $variable)`. */
function withoutAlls(sql: string, { variables }: Expansion): string {
  const begin = sql.lastIndexOf('$__conditionalAll(')
  if (begin < 0) return sql
  const { args, end } = argumentsAt(sql, begin + '$__conditionalAll'.length)
  const [condition = '', variable = ''] = args
  const kept = variables[variable.replace('$', '')] === 'all' ? '1=1' : condition
  return withoutAlls(sql.slice(0, begin) + kept + sql.slice(end), { variables } as Expansion)
}

/** The arguments in brackets that open at `open`, and where they have closed. */
function argumentsAt(sql: string, open: number): { args: string[]; end: number } {
  const args: string[] = []
  let depth = 0
  let begin = open + 1
  for (let at = open; at < sql.length; at++) {
    const sign = sql[at]
    if (sign === '(') depth++
    if (sign === ')') depth--
    if ((sign === ',' && depth === 1) || depth === 0) {
      args.push(sql.slice(begin, at).trim())
      begin = at + 1
    }
    if (depth === 0) return { args, end: at + 1 }
  }
  throw new Error(`a bracket is not closed: ${sql.slice(open)}`)
}

function withVariables(sql: string, { variables }: Expansion): string {
  return sql.replaceAll(/\$\{(\w+)(?::(\w+))?\}/g, (text, name: string, format: string | undefined) => {
    const values = variables[name]
    if (values === undefined || values === 'all') throw new Error(`${text} has no value`)
    if (format === 'sqlstring') return values.map(value => `'${value.replaceAll("'", "''")}'`).join(',')
    return values.join(',')
  })
}

const seconds = (atMs: number) => `toDateTime(${Math.floor(atMs / 1000)})`
const milliseconds = (atMs: number) => `fromUnixTimestamp64Milli(${atMs})`

function withMacros(sql: string, { fromMs, toMs, stepSeconds }: Expansion): string {
  return sql
    .replaceAll(
      /\$__timeFilter\(([^)]*)\)/g,
      (_, column) => `${column} >= ${seconds(fromMs)} AND ${column} <= ${seconds(toMs)}`,
    )
    .replaceAll(
      /\$__timeFilter_ms\(([^)]*)\)/g,
      (_, column) => `${column} >= ${milliseconds(fromMs)} AND ${column} <= ${milliseconds(toMs)}`,
    )
    .replaceAll(
      /\$__timeInterval\(([^)]*)\)/g,
      (_, column) => `toStartOfInterval(toDateTime(${column}), INTERVAL ${stepSeconds} second)`,
    )
    .replaceAll('$__fromTime', seconds(fromMs))
    .replaceAll('$__toTime', seconds(toMs))
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** Seconds of `1h`. */
export const secondsOf = (text: string): number => Number.parseInt(text, 10) * (UNITS[text.at(-1) ?? ''] ?? Number.NaN)

/** The time that a board names: `now-24h` to `now`, or `now/M` to `now/M`, which is a month of UTC. */
export const rangeOf = (
  { from, to }: { from: string; to: string },
  nowMs: number,
): { fromMs: number; toMs: number } => {
  if (from !== 'now/M' || to !== from) return { fromMs: instantOf(from, nowMs), toMs: instantOf(to, nowMs) }
  const now = new Date(nowMs)
  const beginOf = (month: number) => Date.UTC(now.getUTCFullYear(), month)
  return { fromMs: beginOf(now.getUTCMonth()), toMs: beginOf(now.getUTCMonth() + 1) }
}

const instantOf = (text: string, nowMs: number): number => {
  const [, sign, length] = /^now(?:([+-])(\w+))?$/.exec(text) ?? []
  return length === undefined ? nowMs : nowMs + (sign === '-' ? -1 : 1) * 1000 * secondsOf(length)
}
