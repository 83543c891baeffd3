import { ROLES, rolesOf } from '../addresses.ts'
import { type Command, UsageError } from '../command.ts'

export const command: Command = {
  usage: 'ROLE',
  takesArguments: true,
  description: `Runs one role (${ROLES.join(', ')}) in this process, until SIGTERM or Ctrl-C.`,
  options: {
    helper: {
      type: 'string',
      value: 'NUMBER',
      description:
        'Of the limiter with `limiter.processes`: only decides, beside the process that does the rest, as the first, the second … that does.',
    },
  },
  examples: ['serve limiter', 'serve collector --config quotacast.yaml'],
  async run(invocation) {
    const [name, ...more] = invocation.positionals
    const role = ROLES.find(known => known === name)
    if (role === undefined || more.length > 0) throw new UsageError(`one ROLE is needed: ${ROLES.join(', ')}`)
    // In this order: the parts make their metrics while they load, and those of the config's schemas load with it.
    const { startTelemetry } = await import('../telemetry.ts')
    const telemetry = await startTelemetry(role)
    const config = await invocation.config()
    if (!rolesOf(config).includes(role))
      throw new UsageError(`with store.kind: ${config.store.kind} there is no role ${role}`)
    const { serveRole } = await import('../roles.ts')
    const helper = Number(invocation.text('helper') ?? 0)
    const helpers = role === 'limiter' ? config.limiter.processes - 1 : 0
    if (!Number.isInteger(helper) || helper < 0 || helper > helpers)
      throw new UsageError('--helper: only for the limiter, a number below limiter.processes')
    return serveRole(role, { config, telemetry, helper })
  },
}
