import { type Control, openControl } from '../../analyzer/control/control.ts'
import { LogError } from '../../collector/log/call-log.ts'
import { SCOPES, type Scope } from '../../collector/principal.ts'
import { type Command, type Invocation, UsageError } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { createLogger } from '../logging.ts'
import { openLogOf } from '../open-data.ts'

/** Who asks, for the audit: whoever can run this command owns the data folder. */
const BY = 'cli'

export const command: Command = {
  usage: 'create --name NAME --scopes SCOPE,… [--tenant TENANT] | list | revoke --name NAME',
  takesArguments: true,
  description:
    'Makes, lists and revokes tokens; every role knows within a second. A token is printed once, when it is made. ' +
    'Scopes: ingest (send calls), check (ask the limiter), read (query), admin (everything).',
  options: {
    name: { type: 'string', value: 'NAME', description: 'Names the token, in the audit too.' },
    scopes: { type: 'string', value: 'SCOPE,…', description: `What it may do: ${SCOPES.join(', ')}.` },
    tenant: { type: 'string', value: 'TENANT', description: 'The only tenant it may see or write; without it, all.' },
  },
  examples: [
    'token create --name edge-gateway --scopes ingest,check',
    'token create --name acme-board --scopes read --tenant acme',
    'token list --json',
    'token revoke --name edge-gateway',
  ],
  async run(invocation) {
    const [verb, ...more] = invocation.positionals
    const act = verb !== undefined && Object.hasOwn(ACTIONS, verb) ? ACTIONS[verb] : undefined
    if (act === undefined) throw new UsageError('one of create, list, revoke is needed')
    if (more.length > 0) throw new UsageError(`${verb} takes no further argument: the name of a token is --name NAME`)
    return withControl(await invocation.config(), control => act(invocation, control))
  },
}

const ACTIONS: Record<string, (invocation: Invocation, control: Control) => Promise<number>> = {
  async create(invocation, control) {
    const name = readName(invocation)
    const scopes = readScopes(invocation)
    const tenant = invocation.text('tenant') ?? null
    const token = await control.createToken({ name, scopes, tenant, by: BY })
    invocation.print(invocation.isJson ? JSON.stringify({ name, token, scopes, tenant }) : token)
    return 0
  },
  async list(invocation, control) {
    const list = control.tokens().map(({ sha256: _digest, ...token }) => token)
    if (invocation.isJson) invocation.print(JSON.stringify(list, null, 2))
    else if (list.length === 0) invocation.print('There is none but the admin token.')
    else
      for (const { name, scopes, tenant, createdAtMs } of list) {
        const made = new Date(createdAtMs).toISOString()
        invocation.print([name, scopes.join(','), tenant ?? 'all tenants', made].join('  '))
      }
    return 0
  },
  async revoke(invocation, control) {
    const name = readName(invocation)
    await control.revokeToken({ name, by: BY, reason: null })
    invocation.print(invocation.isJson ? JSON.stringify({ name }) : `Revoked ${name}.`)
    return 0
  },
}

function readName(invocation: Invocation): string {
  const name = invocation.text('name')
  if (name === undefined) throw new UsageError('--name NAME is needed')
  return name
}

function readScopes(invocation: Invocation): Scope[] {
  const named = (invocation.text('scopes') ?? '').split(',').filter(Boolean)
  const scopes = SCOPES.filter(scope => named.includes(scope))
  const unknown = named.filter(name => !scopes.some(scope => scope === name))
  if (scopes.length === 0 || unknown.length > 0) {
    throw new UsageError(
      `--scopes is a list of ${SCOPES.join(', ')}${unknown.length > 0 ? `; not ${unknown.join()}` : ''}`,
    )
  }
  return scopes
}

/** Works on the control log itself, so that tokens can be made before anything runs. */
async function withControl(config: Config, act: (control: Control) => Promise<number>): Promise<number> {
  const logger = createLogger({ command: 'token' }, 'warn')
  const log = await openLogOf(config, logger)
  try {
    const control = await openControl({ log, logger })
    try {
      const reason = control.unavailable()
      if (reason !== null) throw new LogError('LOG_UNAVAILABLE', `which tokens there are is not known: ${reason}`)
      return await act(control)
    } finally {
      await control.close()
    }
  } finally {
    await log.close()
  }
}
