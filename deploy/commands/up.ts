import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { storeUrl } from '../../collector/store/open.ts'
import { type Role, rolesOf, roleUrl } from '../addresses.ts'
import { type Command, type Invocation, UsageError } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { openDemoFolder, refuseDemoFolder } from '../demo/folder.ts'
import { createLifecycle, type Lifecycle, STOP_DEADLINE_MS } from '../lifecycle.ts'
import { untilListenable } from '../listen-addresses.ts'
import { createLogger } from '../logging.ts'
import { sayWhenReady } from '../readiness.ts'
import { openAdminToken, tokenFile } from '../secrets.ts'
import { superviseRole } from '../up.ts'

const MAIN = join(import.meta.dirname, '../main.ts')
const DEMO_CONFIG = join(import.meta.dirname, '../demo/demo.yaml')

export const command: Command = {
  usage: '',
  description:
    'Starts the store (where it is embedded), the collector, the limiter and the analyzer, each in a process of its ' +
    'own, says when all are ready, and starts again whichever dies. Stops all of them on SIGTERM or Ctrl-C. With --demo ' +
    'it fills a folder of its own (./data-demo) with two weeks of synthetic calls, and goes on making some.',
  options: {
    roles: {
      type: 'string',
      value: 'ROLE,…',
      description: 'Only these; the others run on other machines, with the same log and store.',
    },
    demo: { type: 'boolean', description: 'Synthetic calls of invented tenants, with quotas; takes no --config.' },
  },
  examples: [
    'up',
    'up --demo',
    'up --roles collector,limiter --config quotacast.yaml',
    'up --data /var/lib/quotacast',
    'up --config quotacast.yaml --set limiter.port=8012',
  ],
  async run(invocation) {
    const isDemo = invocation.isSet('demo')
    const configFlags = [...(isDemo ? ['--config', DEMO_CONFIG] : []), ...invocation.configFlags]
    const config = isDemo ? await demoConfig(invocation) : await invocation.config()
    if (!isDemo) refuseDemoFolder(config.dataDir)
    const roles = rolesToRun(config, invocation.text('roles'))
    const log = createLogger({ role: 'supervisor' }, config.logging.level)
    await untilListenable(config, roles, {
      onWait: problems => log.warn({ problems }, 'waiting for what listens there to stop'),
    })
    openAdminToken(config.dataDir)
    // Two rounds, each as long as a role may take: first whoever needs the store, then the store.
    const lifecycle = createLifecycle({ log, process, deadlineMs: 3 * STOP_DEADLINE_MS })
    const start = (...children: Child[]) => {
      const started = children.map(({ args, ...child }) =>
        superviseRole({ ...child, module: MAIN, args: [...args, ...configFlags], log }),
      )
      const names = children.map(({ name }) => name).join()
      lifecycle.onStop(names, async () => void (await Promise.all(started.map(child => child.stop()))))
    }
    const serve = (names: readonly Role[]) => start(...names.flatMap(role => childrenOf(role, config)))
    serve(roles.filter(role => role === 'store'))
    const others = roles.filter(role => role !== 'store')
    if (isDemo) {
      // The analyzer comes when the past is there, or it would forecast from half of it.
      serve(others.filter(role => role !== 'analyzer'))
      if (!(await fillDemo(configFlags, lifecycle))) return lifecycle.stopped
      serve(['analyzer'])
      start({ name: 'demo', args: ['demo'], isBackground: true })
    } else serve(others)

    const stopping = new AbortController()
    lifecycle.onStop('asking who is ready', () => stopping.abort())
    const urls = new Map(roles.map(role => [role, roleUrl(role, config)]))
    const say = (waiting: ReadonlyMap<Role, string>) =>
      invocation.print(invocation.isJson ? toJson(config, roles, waiting) : toText(config, roles, { waiting, isDemo }))
    await Promise.race([sayWhenReady({ urls, say, signal: stopping.signal }), lifecycle.stopped])
    return lifecycle.stopped
  },
}

interface Child {
  name: string
  /** Of the CLI. */
  args: readonly string[]
  isBackground: boolean
  siblings?: Set<ChildProcess>
}

/** The processes of a role: one, and of the limiter as many as its config says. */
function childrenOf(role: Role, { limiter }: Config): Child[] {
  // Whoever only has to be soon yields to the one that callers wait for.
  const one: Child = { name: role, args: ['serve', role], isBackground: role !== 'limiter', siblings: new Set() }
  if (role !== 'limiter') return [one]
  const helpers = Array.from({ length: limiter.processes - 1 }, (_, index) => ({
    ...one,
    name: `${role} (helper ${index + 1})`,
    args: [...one.args, '--helper', String(index + 1)],
  }))
  return [one, ...helpers]
}

/** Throws `UsageError` for what a demo cannot have, and `DemoFolderError` for a folder with other data. */
async function demoConfig(invocation: Invocation): Promise<Config> {
  const excluded = ['config', 'roles'].find(option => invocation.isSet(option))
  if (excluded !== undefined) throw new UsageError(`--demo and --${excluded} exclude each other`)
  const { loadConfig } = await import('../config.ts')
  const [dataDir, overrides] = [invocation.text('data'), invocation.texts('set')]
  const config = await loadConfig({ file: DEMO_CONFIG, dataDir, overrides })
  openDemoFolder(config, Date.now())
  return config
}

/** Answers whether the past of the demo is there; if not, everything stops. */
async function fillDemo(configFlags: readonly string[], lifecycle: Lifecycle): Promise<boolean> {
  const filling = fork(MAIN, ['demo', '--fill-only', ...configFlags], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(filling, 'exit')
  lifecycle.onStop('filling', async () => {
    if (filling.kill('SIGTERM')) await exited
  })
  const [code] = await exited
  if (code !== 0) lifecycle.stop('the past of the demo could not be filled')
  return code === 0
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

function toText(
  config: Config,
  roles: readonly Role[],
  { waiting, isDemo }: { waiting: ReadonlyMap<Role, string>; isDemo: boolean },
): string {
  const url = (role: Role) => roleUrl(role, config)
  const token = tokenFile(config.dataDir)
  const state =
    waiting.size === 0
      ? 'Quotacast is ready.'
      : [
          'Quotacast runs, but not all of it is ready. It says here when it is; these are waited for:',
          ...[...waiting].map(([role, why]) => `  ${role}: ${why}`),
        ].join('\n')
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
    ...(roles.includes('analyzer') ? [`  console         ${url('analyzer')}/  (log in with the admin token)`] : []),
    ...roles.flatMap(role => lines[role]?.() ?? []),
    `  query           ${clickHouseUrl(config)} (ClickHouse's HTTP interface)`,
    `  API reference   GET  /openapi.json of each`,
    `  data            ${config.dataDir}`,
    `  admin token     ${token}`,
    '',
    ...(isDemo ? [demoText(config), ''] : roles.includes('collector') ? first : []),
  ].join('\n')
}

const demoText = ({ dataDir }: Config) =>
  [
    'All calls here are synthetic: tenants, keys and models are invented. Delete the data folder to begin anew.',
    'Commands ask the demo when they are told its folder:',
    '',
    `  npm run -s quotacast -- forecast --data ${shellQuote(dataDir)}`,
  ].join('\n')

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
