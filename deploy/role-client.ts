/** How commands ask running roles: over HTTP, as the admin of this data folder. */
import { readFileSync } from 'node:fs'
import { type Role, roleUrl } from './addresses.ts'
import type { Config } from './config-schema.ts'
import { tokenFile } from './secrets.ts'

const REQUEST_TIMEOUT_MS = 120_000

/** A role that does not answer, or answers with a problem. */
export class RoleError extends Error {
  readonly code = 'ROLE_UNAVAILABLE'
  /** What it answered; `null` when it did not. */
  readonly status: number | null

  constructor(message: string, { cause, status = null }: { cause?: unknown; status?: number | null } = {}) {
    super(message, { cause })
    this.name = 'RoleError'
    this.status = status
  }
}

/**
 * The JSON that a role answers to a GET, within `timeoutMs`. Throws `RoleError` when there is none, or its status says that
 * it failed.
 */
export const getJson = (role: Role, path: string, config: Config, timeoutMs = REQUEST_TIMEOUT_MS): Promise<unknown> =>
  ask('GET', role, path, config, { timeoutMs })

/** The same to a POST, with a JSON body or none. */
export const postJson = (role: Role, path: string, config: Config, body?: unknown): Promise<unknown> =>
  ask('POST', role, path, config, { body })

/** The same to a PUT. */
export const putJson = (role: Role, path: string, config: Config, body: unknown): Promise<unknown> =>
  ask('PUT', role, path, config, { body })

async function ask(
  method: 'GET' | 'POST' | 'PUT',
  role: Role,
  path: string,
  config: Config,
  { body, timeoutMs = REQUEST_TIMEOUT_MS }: { body?: unknown; timeoutMs?: number },
): Promise<unknown> {
  const url = `${roleUrl(role, config)}${path}`
  const authorization = `Bearer ${readToken(config)}`
  let response: Response
  let text: string
  try {
    response = await fetch(url, {
      method,
      headers: { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      body: body === undefined ? null : JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    text = await response.text()
  } catch (cause) {
    const isLate = cause instanceof Error && cause.name === 'TimeoutError'
    const how = isLate ? `has not answered within ${timeoutMs / 1_000} s` : 'does not answer'
    throw new RoleError(`the ${role} ${how} at ${url}: is it ${isLate ? 'overloaded' : 'running'}?`, { cause })
  }
  const answer = parseAnswer(text)
  const { status, statusText } = response
  if (response.ok || (status === 503 && path === '/readyz')) {
    if (answer !== null) return answer
    throw new RoleError(`what answers ${status} at ${url} is not the ${role}: does another program have its port?`, {
      status,
    })
  }
  const hint =
    status === 401 ? ` (it is that of ${tokenFile(config.dataDir)}: does the ${role} run with other --data?)` : ''
  throw new RoleError(`the ${role} answers ${status} to ${path}: ${answer?.detail ?? statusText}${hint}`, { status })
}

/** `null` for what no role answers. */
function parseAnswer(text: string): { detail?: string } | null {
  try {
    const answer: unknown = JSON.parse(text)
    return typeof answer === 'object' ? answer : null
  } catch {
    return null
  }
}

function readToken(config: Config): string {
  const file = tokenFile(config.dataDir)
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new RoleError(`${file} cannot be read: was Quotacast started with this data folder?`, { cause: error })
  }
}
