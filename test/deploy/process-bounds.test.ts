import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { boundsOf } from '../../deploy/process-bounds.ts'

const dir = mkdtempSync(join(tmpdir(), 'quotacast-flags-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const script = join(dir, 'command.mjs')
writeFileSync(
  script,
  `import { getHeapStatistics } from 'node:v8'
import { ensureBounds } from '${new URL('../../deploy/process-bounds.ts', import.meta.url).href}'
ensureBounds(process.argv.slice(2))
console.log(JSON.stringify([process.execArgv, process.argv.slice(2), getHeapStatistics().heap_size_limit]))`,
)
const run = (...args: string[]) => JSON.parse(execFileSync(process.execPath, [script, ...args], { encoding: 'utf8' }))
const MiB = 2 ** 20

test.each([[['serve', 'collector', '--data', 'a folder']], [['import', 'calls.log']]])(
  '%j runs in a bounded heap, with its arguments',
  args => {
    const [flags, own, heapBytes] = run(...args)
    expect(flags).toEqual(boundsOf(args).execArgv)
    expect(own).toEqual(args)
    expect(heapBytes).toBeLessThan(300 * MiB)
  },
)

test('an analyzer runs with little garbage, and as much heap as it needs', () => {
  const [flags, , heapBytes] = run('serve', 'analyzer')
  expect(flags).toEqual(boundsOf(['serve', 'analyzer']).execArgv)
  expect(flags).not.toEqual([])
  expect(heapBytes).toBeGreaterThan(300 * MiB)
})

test('a limiter is not displaced by threads of its own, nor by more of the other roles than there are other processors', () => {
  const [flags] = run('serve', 'limiter')
  expect(flags).toEqual([expect.stringMatching(/^--v8-pool-size=[1-4]$/)])
  for (const role of ['collector', 'analyzer']) expect(boundsOf(['serve', role]).execArgv).toContain(flags[0])
})

test.each([[['status']], [[]]])('%j runs as it was started', args => {
  expect(run(...args).slice(0, 2)).toEqual([[], args])
})
