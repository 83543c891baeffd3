/** Where the roles will listen, tried out before they start: what is in the way is said once, to whoever starts them. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Role } from './addresses.ts'
import type { Config } from './config-schema.ts'
import { STOP_DEADLINE_MS } from './lifecycle.ts'

const POLL_MS = 200

interface Address {
  host: string
  port: number
  /** The key of the config that says the port. */
  key: string
}

/** Addresses that roles cannot start without and cannot have; the user can choose others. */
class AddressError extends Error {
  readonly code = 'ADDRESS'

  constructor(problems: readonly string[]) {
    super(
      [
        ...problems,
        'Does Quotacast run here already? Stop it, or set other ports, and another folder with --data, for a second one.',
      ].join('\n'),
    )
    this.name = 'AddressError'
  }
}

/**
 * Resolves when the roles can listen where the config says. What runs there gets as long as roles may take to stop, as
 * those of a supervisor that was killed do. Throws `AddressError` with all that are not to be had.
 */
export async function untilListenable(
  config: Config,
  roles: readonly Role[],
  { onWait, deadlineMs = STOP_DEADLINE_MS }: { onWait: (problems: readonly string[]) => void; deadlineMs?: number },
): Promise<void> {
  const endMs = performance.now() + deadlineMs
  for (let tries = 0; ; tries += 1) {
    const problems = await problemsOf(roles.flatMap(role => addressesOf(role, config)))
    if (problems.length === 0) return
    if (performance.now() >= endMs || problems.some(({ isPassing }) => !isPassing))
      throw new AddressError(problems.map(({ text }) => text))
    if (tries === 0) onWait(problems.map(({ text }) => text))
    await sleep(POLL_MS)
  }
}

function addressesOf(role: Role, { store, collector, limiter, analyzer }: Config): Address[] {
  switch (role) {
    case 'store': {
      if (store.kind !== 'embedded') return []
      const { host, port, healthPort } = store
      return [
        { host, port, key: 'store.port' },
        { host, port: healthPort, key: 'store.healthPort' },
      ]
    }
    case 'collector':
      return [{ ...collector, key: 'collector.port' }]
    case 'limiter':
      return [
        { ...limiter, key: 'limiter.port' },
        { ...limiter.grpc, key: 'limiter.grpc.port' },
      ]
    case 'analyzer':
      return [{ ...analyzer, key: 'analyzer.port' }]
  }
}

/** One after the other: two keys may say the same address, which the roles themselves find out. */
async function problemsOf(addresses: readonly Address[]): Promise<{ text: string; isPassing: boolean }[]> {
  const problems = []
  for (const { host, port, key } of addresses) {
    const server = createServer()
    try {
      await once(server.listen(port, host), 'listening')
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      problems.push({ text: `${key}: ${message}`, isPassing: code === 'EADDRINUSE' })
      continue
    }
    await new Promise(resolve => server.close(resolve))
  }
  return problems
}
