import { stringify } from 'yaml'
import type { ForecastAnswer } from '../../analyzer/api/forecast-schema.ts'
import { isExhausted } from '../../analyzer/forecast/exhausted.ts'
import type { Readiness } from '../../collector/principal.ts'
import { ROLES, type Role, rolesOf, roleUrl } from '../addresses.ts'
import { amountText, unitText } from '../amounts.ts'
import type { Command } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { getJson, RoleError } from '../role-client.ts'

/** The store role is ClickHouse's own; what there is to know of it the collector and the analyzer say. */
const ROLES_WITH_STATUS: readonly Role[] = ['collector', 'limiter', 'analyzer']
/** Whoever asks how things are is not to wait for a role that hangs. */
const ANSWER_MS_MAX = 5_000
/** Keys of instants. */
const INSTANT = /AtMs$|^(asOf|since)Ms$/
const NAME_WIDTH = Math.max(...ROLES.map(role => role.length))

interface RoleStatus extends Readiness {
  url: string
  /** What the role says of itself; `null` when it does not answer, or in a moment. */
  status: unknown
}

export const command: Command = {
  usage: '',
  description:
    'Shows each role and whether it is ready, records in and out, rejections, lag and data age, and the subjects most ' +
    'at risk. The exit code is 1 when something is wrong with a role.',
  options: {},
  examples: ['status', 'status --json'],
  async run(invocation) {
    const config = await invocation.config()
    const statuses = await Promise.all(rolesOf(config).map(async role => [role, await askRole(role, config)] as const))
    if (invocation.isJson) invocation.print(JSON.stringify(Object.fromEntries(statuses), null, 2))
    else for (const [role, status] of statuses) invocation.print(toText(role, status, config.currency))
    return statuses.every(([, { reasons }]) => reasons.length === 0) ? 0 : 1
  },
}

async function askRole(role: Role, config: Config): Promise<RoleStatus> {
  const url = roleUrl(role, config)
  const ask = (path: string) => getJson(role, path, config, ANSWER_MS_MAX)
  let readiness: Readiness = { isReady: false, reasons: [] }
  try {
    readiness = (await ask('/readyz')) as Readiness
    return { url, ...readiness, status: ROLES_WITH_STATUS.includes(role) ? await ask('/v1/status') : null }
  } catch (error) {
    if (!(error instanceof RoleError)) throw error
    return { url, ...readiness, reasons: [...readiness.reasons, error.message], status: null }
  }
}

function toText(role: Role, { url, isReady, reasons, status }: RoleStatus, currency: string): string {
  const head = `${role.padEnd(NAME_WIDTH)}  ${isReady ? 'ready' : 'NOT READY'}  ${url}`
  const details = status === null ? '' : stringify(status, forPeople(currency), { lineWidth: 0 })
  return [head, ...reasons.map(reason => `! ${reason}`), ...details.split('\n').filter(Boolean)].join('\n  ')
}

/** Instants as text, and each subject at risk in a line, which is made before its instants are text. */
const forPeople =
  (currency: string) =>
  (key: unknown, value: unknown): unknown => {
    if (key === 'atRisk') return (value as ForecastAnswer[]).map(forecast => riskLine(forecast, currency))
    return typeof key === 'string' && INSTANT.test(key) ? toInstant(value) : value
  }

const toInstant = (value: unknown) => (typeof value === 'number' ? new Date(value).toISOString() : value)

function riskLine(forecast: ForecastAnswer, currency: string): string {
  const { quota, subject, unit, used, limit, probability, exhaustionAtMs } = forecast
  const who = Object.entries(subject).map(([dimension, value]) => ` ${dimension}=${value || '(unknown)'}`)
  const when = exhaustionAtMs.p50 === null ? '' : `, probably at ${toInstant(exhaustionAtMs.p50)}`
  const chance = `${Math.round(100 * (probability ?? 0))} % to run out before the reset${when}`
  const of = `${amountText(used, unit)} of ${limit === null ? 'unknown' : amountText(limit, unit)}`
  return `${quota}${who.join('')} – ${isExhausted(forecast) ? 'used up' : chance}, ${of} ${unitText(unit, currency)} used`
}
