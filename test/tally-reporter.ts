import type { Reporter, TestModule, TestRunEndReason } from 'vitest/node'

/** Ends the run with one line that counts it; with `CI=true` a skipped test is a failure, so that CI cannot pass by leaving out. */
export class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[], _reason: TestRunEndReason): void {
    const tally = { passed: 0, failed: errors.length, skipped: 0, pending: 0 }
    for (const module of modules) {
      if (module.errors().length > 0) tally.failed += 1
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        tally[state] += 1
        if (state === 'skipped') process.stdout.write(`skipped: ${test.fullName}\n`)
      }
    }
    if (process.env.CI === 'true' && tally.skipped > 0) {
      tally.failed += tally.skipped
      process.stdout.write('A skipped test is a failure when CI=true: install what the lines above name.\n')
    }
    if (tally.failed > 0) process.exitCode = 1
    process.stdout.write(`${tally.passed} passed, ${tally.failed + tally.pending} failed, ${tally.skipped} skipped\n`)
  }
}
