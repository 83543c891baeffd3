import { defineConfig } from 'vitest/config'
import { TallyReporter } from './tally-reporter.ts'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    root: new URL('..', import.meta.url).pathname,
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default', new TallyReporter()],
  },
})
