import { defineConfig } from 'vitest/config'
import { TallyReporter } from './tally-reporter.ts'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    root: new URL('..', import.meta.url).pathname,
    pool: 'forks',
    maxWorkers: 2,
    // Real brokers and engines take their time where many share the machine; a test that hangs is told all the same.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    reporters: ['default', new TallyReporter()],
  },
})
