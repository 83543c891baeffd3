/** Whether the roles of this machine are ready: asked until all are, and told when they take long. */
import { setTimeout as sleep } from 'node:timers/promises'

/** What the roles get to become ready before it is said who is not. */
const PATIENCE_MS = 60_000
const POLL_MS = 100
/** How often roles are asked that take long already. */
const SLOW_POLL_MS = 1_000
const REQUEST_TIMEOUT_MS = 2_000

/**
 * Calls `say` with an empty map once all roles are ready, and before that, when that takes long, once with those that are not
 * and why. Resolves when all are ready, or soon after `signal`.
 */
export async function sayWhenReady<Role extends string>(options: {
  urls: ReadonlyMap<Role, string>
  say(notReady: ReadonlyMap<Role, string>): void
  signal: AbortSignal
  patienceMs?: number
}): Promise<void> {
  const { urls, say, signal, patienceMs = PATIENCE_MS } = options
  const untilMs = performance.now() + patienceMs
  let isPatient = true
  for (;;) {
    const notReady = await rolesNotReady(urls)
    if (signal.aborted) return
    if (notReady.size === 0) return say(notReady)
    if (isPatient && performance.now() >= untilMs) {
      isPatient = false
      say(notReady)
    }
    await sleep(isPatient ? POLL_MS : SLOW_POLL_MS)
  }
}

/** Those that are not ready, with their reasons. */
async function rolesNotReady<Role extends string>(urls: ReadonlyMap<Role, string>): Promise<Map<Role, string>> {
  const asked = await Promise.all([...urls].map(async ([role, url]) => [role, await reasonOf(url)] as const))
  return new Map(asked.flatMap(([role, reason]) => (reason === null ? [] : [[role, reason]])))
}

async function reasonOf(url: string): Promise<string | null> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
    const { reasons } = (await response.json()) as { reasons?: string[] }
    return reasons === undefined ? `answers ${response.status}` : reasons.join('; ') || null
  } catch {
    return 'does not answer'
  }
}
