import type { ForecastAnswer } from '../../analyzer/api/forecast-schema.ts'
import { isExhausted } from '../../analyzer/forecast/exhausted.ts'
import { amountText, unitText } from '../amounts.ts'
import { type Command, type Invocation, parseNumber } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { assertQuotaIsKnown } from '../known-quota.ts'
import { readPages } from '../listed.ts'
import { getJson, RoleError } from '../role-client.ts'
import { type SparklinePath, sparkline } from '../sparkline.ts'

const AT_RISK_DEFAULT = 0.1
const ROWS_DEFAULT = 20
const ROWS_MAX = 1_000
/** At most so many requests: 100,000 subjects at risk are told no better than these. */
const PAGES_MAX = 100
const HEADER = ['quota', 'subject', 'used', 'of', 'risk', 'runs out at', 'until the reset']
/** Columns of numbers, which are put to the right. */
const NUMBERS = ['used', 'of', 'risk']

type Path = Pick<SparklinePath, 'history' | 'bands'>

export const command: Command = {
  usage: '[--quota NAME]',
  description:
    'Shows the subjects that may run out before their reset, the most likely first: use, limit, probability, the ' +
    'likely instant, and a line of bars for the window: use as a share of the limit, so far and (after │) expected.',
  options: {
    quota: { type: 'string', value: 'NAME', description: 'Only of this quota.' },
    tenant: { type: 'string', value: 'NAME', description: 'Only of this tenant.' },
    risk: {
      type: 'string',
      value: 'P',
      description: `Only with at least this probability, from 0 to 1 (${AT_RISK_DEFAULT}).`,
    },
    rows: { type: 'string', value: 'N', description: `Most subjects to show (${ROWS_DEFAULT}).` },
  },
  examples: ['forecast', 'forecast --quota tokens-per-hour --risk 0.5', 'forecast --json'],
  async run(invocation) {
    const risk = parseNumber(invocation, 'risk', AT_RISK_DEFAULT, { least: 0, most: 1 })
    const rows = parseNumber(invocation, 'rows', ROWS_DEFAULT, { least: 1, most: ROWS_MAX })
    const config = await invocation.config()
    const { all, hasLooked } = await readAtRisk(config, risk, invocation)
    const quota = invocation.text('quota')
    if (all.length === 0 && quota !== undefined) await assertQuotaIsKnown(quota, config)
    const forecasts = all.sort((a, b) => (b.probability ?? 0) - (a.probability ?? 0)).slice(0, Math.floor(rows))
    const withPaths: { forecast: ForecastAnswer; path: Path }[] = []
    for (const forecast of forecasts) withPaths.push({ forecast, path: await readPath(config, forecast) })
    if (invocation.isJson) {
      const json = withPaths.map(({ forecast, path }) => ({ ...forecast, ...path }))
      invocation.print(JSON.stringify(json, null, 2))
    } else if (!hasLooked) {
      invocation.print('The analyzer has forecast nothing yet: ask again in a moment.')
    } else if (withPaths.length === 0) {
      invocation.print(`No subject has a risk of ${percent(risk)} or more to run out before its reset.`)
    } else
      for (const line of toTable([HEADER, ...withPaths.map(one => toRow(one, config.currency))])) invocation.print(line)
    return 0
  },
}

interface Page {
  asOfMs: number | null
  forecasts: ForecastAnswer[]
  nextCursor: string | null
}

async function readAtRisk(
  config: Config,
  risk: number,
  invocation: Invocation,
): Promise<{ all: ForecastAnswer[]; hasLooked: boolean }> {
  const all: ForecastAnswer[] = []
  let hasLooked = false
  const query: Record<string, string> = { atRisk: `${risk}` }
  for (const name of ['quota', 'tenant']) {
    const value = invocation.text(name)
    if (value !== undefined) query[name] = value
  }
  let pages = 0
  for await (const answer of readPages<Page>('/v1/forecasts', query, config)) {
    all.push(...answer.forecasts)
    hasLooked = answer.asOfMs !== null
    pages += 1
    if (pages === PAGES_MAX) break
  }
  return { all, hasLooked }
}

/** The path of a subject that is gone meanwhile is empty. */
async function readPath(config: Config, { quota, subject }: ForecastAnswer): Promise<Path> {
  try {
    const { history, bands } = (await getJson(
      'analyzer',
      `/v1/forecasts/path?${new URLSearchParams({ ...subject, quota })}`,
      config,
    )) as Path
    return { history, bands }
  } catch (error) {
    if (error instanceof RoleError) return { history: [], bands: [] }
    throw error
  }
}

function toRow({ forecast, path }: { forecast: ForecastAnswer; path: Path }, currency: string): string[] {
  const { quota, subject, unit, used, limit, probability, exhaustionAtMs } = forecast
  const { p50 } = exhaustionAtMs
  const at = isExhausted(forecast) ? 'used up' : p50 === null ? '-' : new Date(p50).toISOString()
  const who = Object.entries(subject).map(([dimension, value]) => `${dimension}=${value || '(unknown)'}`)
  const line = path.history.length === 0 || limit === null ? '' : sparkline({ ...forecast, limit, ...path })
  return [
    quota,
    who.join(' ') || '(all)',
    amountText(used, unit),
    `${limit === null ? 'unknown' : amountText(limit, unit)} ${unitText(unit, currency)}`,
    percent(probability ?? 0),
    at,
    line,
  ]
}

const percent = (share: number): string => `${Math.round(100 * share)} %`

function toTable(rows: readonly string[][]): string[] {
  const widths = HEADER.map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  const cell = (words: string, column: number) => {
    const text = words.replaceAll(/[\n\t]/g, '\ufffd')
    const width = widths[column] ?? 0
    return NUMBERS.includes(HEADER[column] ?? '') ? text.padStart(width) : text.padEnd(width)
  }
  return rows.map(row => row.map(cell).join('  ').trimEnd())
}
