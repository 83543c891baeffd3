import { describe, test } from 'vitest'
import { type MissingServerError, whatIsMissing } from './missing.ts'

/**
 * `describe` for tests that need servers. Where one is missing they are skipped under a name that says what to install,
 * so that nobody takes a run without them for a whole one; with `CI=true` that is a failure.
 */
export function describeWith(
  checks: readonly (() => MissingServerError | null)[],
  name: string,
  tests: () => void,
): void {
  const missing = whatIsMissing(checks)
  if (missing === null) describe(name, tests)
  else if (process.env.CI === 'true') {
    test(name, () => {
      throw new Error(missing)
    })
  } else test.skip(`${name}: ${missing}`, () => undefined)
}
