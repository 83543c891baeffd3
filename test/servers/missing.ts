/** A server that a test needs and that this machine does not have, with the command that installs it. */
export class MissingServerError extends Error {
  readonly code = 'SERVER_MISSING'

  constructor(server: string, install: string) {
    super(`${server} is not installed here. Install it with: ${install}`)
    this.name = 'MissingServerError'
  }
}

/** Why what needs these programs must be left out, or `null`. */
export function whatIsMissing(checks: readonly (() => MissingServerError | null)[]): string | null {
  const missing = checks.map(check => check()?.message).filter(message => message !== undefined)
  return missing.length > 0 ? missing.join(' ') : null
}
