import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROLES, type Role, roleUrl } from '../addresses.ts'
import type { Command } from '../command.ts'
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
    'Starts the store, the collector, the limiter and the analyzer, each in a process of its own, and starts again ' +
    'whichever dies. Stops all of them on SIGTERM or Ctrl-C.',
  options: {},
  examples: ['up', 'up --data /var/lib/quotacast', 'up --config quotacast.yaml --set limiter.port=8012'],
  async run(invocation) {
    const config = await invocation.config()
    openAdminToken(config.dataDir)
    const log = createLogger({ role: 'supervisor' }, config.logging.level)
    // Two rounds, each as long as a role may take: first whoever needs the store, then the store.
    const lifecycle = createLifecycle({ log, process, deadlineMs: 3 * STOP_DEADLINE_MS })
    const start = (name: Role) => {
      const args = ['serve', name, ...invocation.configFlags]
      return superviseRole({ name, module: join(import.meta.dirname, '../main.ts'), args, log })
    }
    const store = start('store')
    lifecycle.onStop('store', () => store.stop())
    const others = ROLES.filter(role => role !== 'store').map(start)
    lifecycle.onStop('roles', async () => void (await Promise.all(others.map(role => role.stop()))))

    const waiting = await Promise.race([rolesNotReady(config), lifecycle.stopped])
    if (typeof waiting !== 'number')
      invocation.print(invocation.isJson ? toJson(config, waiting) : toText(config, waiting))
    return lifecycle.stopped
  },
}

/** Waits until all roles are ready or the deadline has passed; answers those that are not, with their reasons. */
async function rolesNotReady(config: Config): Promise<Map<Role, string>> {
  const waiting = new Map<Role, string>(ROLES.map(role => [role, 'does not answer']))
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

function toText(config: Config, waiting: ReadonlyMap<Role, string>): string {
  const url = (role: Role) => roleUrl(role, config)
  const token = tokenFile(config.dataDir)
  const state =
    waiting.size === 0
      ? 'Quotacast is ready.'
      : ['Quotacast runs, but not all of it is ready:', ...[...waiting].map(([role, why]) => `  ${role}: ${why}`)].join(
          '\n',
        )
  return [
    '',
    state,
    '',
    `  send calls      POST ${url('collector')}/v1/calls`,
    `  ask             POST ${url('limiter')}/v1/check, or forward-auth ${url('limiter')}/v1/auth`,
    `  read            GET  ${url('analyzer')}/v1/forecasts, ${url('analyzer')}/v1/usage`,
    `  query           ${storeUrl(config)} (ClickHouse's HTTP interface)`,
    `  API reference   GET  /openapi.json of each`,
    `  data            ${config.dataDir}`,
    `  admin token     ${token}`,
    '',
    'Send a first call:',
    '',
    `  ${curlLine(url('collector'), token)}`,
    '',
  ].join('\n')
}

const storeUrl = ({ store }: Config) => `http://${store.host}:${store.port}`

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

function toJson(config: Config, waiting: ReadonlyMap<Role, string>): string {
  return JSON.stringify({
    isReady: waiting.size === 0,
    notReady: Object.fromEntries(waiting),
    urls: { ...Object.fromEntries(ROLES.map(role => [role, roleUrl(role, config)])), clickhouse: storeUrl(config) },
    dataDir: config.dataDir,
    tokenFile: tokenFile(config.dataDir),
  })
}
