import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { storeUrl } from '../../collector/store/open.ts'
import { type Role, rolesOf, roleUrl } from '../addresses.ts'
import { type Command, UsageError } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { createLifecycle, STOP_DEADLINE_MS } from '../lifecycle.ts'
import { createLogger } from '../logging.ts'
import { openAdminToken, tokenFile } from '../secrets.ts'
import { superviseRole } from '../up.ts'

/** What the roles get to become ready before it is said who is not. */
const START_DEADLINE_MS = 60_000
const POLL_MS = 100
const REQUEST_TIMEOUT_MS = 2_000

export const command: Command = {
  usage: '',
  description:
    'Starts the store (where it is embedded), the collector, the limiter and the analyzer, each in a process of its ' +
    'own, and starts again whichever dies. Stops all of them on SIGTERM or Ctrl-C.',
  options: {
    roles: {
      type: 'string',
      value: 'ROLE,…',
      description: 'Only these; the others run on other machines, with the same log and store.',
    },
  },
  examples: [
    'up',
    'up --roles collector,limiter --config quotacast.yaml',
    'up --data /var/lib/quotacast',
    'up --config quotacast.yaml --set limiter.port=8012',
  ],
  async run(invocation) {
    const config = await invocation.config()
    const roles = rolesToRun(config, invocation.text('roles'))
    openAdminToken(config.dataDir)
    const log = createLogger({ role: 'supervisor' }, config.logging.level)
    // Two rounds, each as long as a role may take: first whoever needs the store, then the store.
    const lifecycle = createLifecycle({ log, process, deadlineMs: 3 * STOP_DEADLINE_MS })
    const start = (name: Role) => {
      const args = ['serve', name, ...invocation.configFlags]
      return superviseRole({ name, module: join(import.meta.dirname, '../main.ts'), args, log })
    }
    if (roles.includes('store')) {
      const store = start('store')
      lifecycle.onStop('store', () => store.stop())
    }
    const others = roles.filter(role => role !== 'store').map(start)
    lifecycle.onStop('roles', async () => void (await Promise.all(others.map(role => role.stop()))))

    const waiting = await Promise.race([rolesNotReady(config, roles), lifecycle.stopped])
    if (typeof waiting !== 'number')
      invocation.print(invocation.isJson ? toJson(config, roles, waiting) : toText(config, roles, waiting))
    return lifecycle.stopped
  },
}

/** What `--roles` asks for, in the order in which they start; all that the config has when it does not. */
function rolesToRun(config: Config, asked: string | undefined): readonly Role[] {
  const known = rolesOf(config)
  if (asked === undefined) return known
  const names = asked.split(',').map(name => name.trim())
  const unknown = names.find(name => !known.some(role => role === name))
  if (unknown !== undefined) throw new UsageError(`--roles: ${unknown || 'nothing'} is none of ${known.join(', ')}`)
  return known.filter(role => names.includes(role))
}

/** Waits until all roles are ready or the deadline has passed; answers those that are not, with their reasons. */
async function rolesNotReady(config: Config, roles: readonly Role[]): Promise<Map<Role, string>> {
  const waiting = new Map<Role, string>(roles.map(role => [role, 'does not answer']))
  const deadlineMs = performance.now() + START_DEADLINE_MS
  while (waiting.size > 0 && performance.now() < deadlineMs) {
    await Promise.all(
      [...waiting.keys()].map(async role => {
        const reason = await notReady(roleUrl(role, config))
        if (reason === null) waiting.delete(role)
        else waiting.set(role, reason)
      }),
    )
    if (waiting.size > 0) await sleep(POLL_MS)
  }
  return waiting
}

async function notReady(url: string): Promise<string | null> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
    if (response.ok) return null
    const { reasons } = (await response.json()) as { reasons?: string[] }
    return reasons?.join('; ') ?? `answers ${response.status}`
  } catch {
    return 'does not answer'
  }
}

function toText(config: Config, roles: readonly Role[], waiting: ReadonlyMap<Role, string>): string {
  const url = (role: Role) => roleUrl(role, config)
  const token = tokenFile(config.dataDir)
  const state =
    waiting.size === 0
      ? 'Quotacast is ready.'
      : ['Quotacast runs, but not all of it is ready:', ...[...waiting].map(([role, why]) => `  ${role}: ${why}`)].join(
          '\n',
        )
  const lines: Partial<Record<Role, () => string>> = {
    collector: () => `  send calls      POST ${url('collector')}/v1/calls`,
    limiter: () => `  ask             POST ${url('limiter')}/v1/check, or forward-auth ${url('limiter')}/v1/auth`,
    analyzer: () => `  read            GET  ${url('analyzer')}/v1/forecasts, ${url('analyzer')}/v1/usage`,
  }
  const first = ['Send a first call:', '', `  ${curlLine(url('collector'), token)}`, '']
  return [
    '',
    state,
    '',
    ...roles.flatMap(role => lines[role]?.() ?? []),
    `  query           ${clickHouseUrl(config)} (ClickHouse's HTTP interface)`,
    `  API reference   GET  /openapi.json of each`,
    `  data            ${config.dataDir}`,
    `  admin token     ${token}`,
    '',
    ...(roles.includes('collector') ? first : []),
  ].join('\n')
}

const clickHouseUrl = ({ store }: Config) => (store.kind === 'embedded' ? storeUrl(store) : store.url)

/** One line for any POSIX shell: it reads the token itself, so that the token is in no history. */
export function curlLine(collectorUrl: string, token: string): string {
  const call =
    '"tenant":"acme","consumer":"first-app","model":"gpt-5","status":200,"inputTokens":1200,"outputTokens":300'
  return [
    `curl -sS ${collectorUrl}/v1/calls`,
    `-H "Authorization: Bearer $(cat ${shellQuote(token)})"`,
    `-H 'Content-Type: application/json'`,
    `-d '{"startedAtMs":'$(date +%s)'000,${call}}'`,
  ].join(' ')
}

const shellQuote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

function toJson(config: Config, roles: readonly Role[], waiting: ReadonlyMap<Role, string>): string {
  return JSON.stringify({
    isReady: waiting.size === 0,
    notReady: Object.fromEntries(waiting),
    urls: {
      ...Object.fromEntries(roles.map(role => [role, roleUrl(role, config)])),
      clickhouse: clickHouseUrl(config),
    },
    dataDir: config.dataDir,
    tokenFile: tokenFile(config.dataDir),
  })
}
