import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'

const MAIN = new URL('../../../deploy/main.ts', import.meta.url).pathname
const HISTORIES = 60

/** What the command answers, read by somebody who takes his time. */
async function answers(lines: readonly object[], ...flags: string[]): Promise<{ code: number; lines: unknown[] }> {
  const child = spawn(process.execPath, [MAIN, 'forecast-bench', ...flags], { stdio: ['pipe', 'pipe', 'ignore'] })
  const ended = once(child, 'exit')
  child.stdin.end(lines.map(line => `${JSON.stringify(line)}\n`).join(''))
  await sleep(1_000)
  let text = ''
  for await (const chunk of child.stdout.setEncoding('utf8')) text += chunk
  const [code] = await ended
  return {
    code,
    lines: text
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line)),
  }
}

test('every answer arrives, however slowly it is read', async () => {
  const history = Array.from({ length: 100 }, (_, hour) => 50 + (hour % 24))
  const asked = Array.from({ length: HISTORIES }, (_, index) => ({
    id: `H${index}`,
    step: 3600,
    horizon: 200,
    level: 0.95,
    history,
  }))
  const { code, lines } = await answers(asked, '--m4')
  expect(code).toBe(0)
  expect(lines).toHaveLength(HISTORIES)
  expect(lines.at(-1)).toMatchObject({ id: `H${HISTORIES - 1}` })
})

test.each([
  ['{"kind": "obs", "values": [1]}', 'line 3: must have required properties series'],
  ['{"kind": "obs"', 'line 3: it is not JSON: '],
])('a line that makes no sense ends it with a failure that says which, and why: %s', (wrong, said) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'forecast-bench'], {
    input: `{"kind": "series", "series": "S", "step": 60, "start": 0}\r\n\r\n${wrong}`,
    encoding: 'utf8',
  })
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toContain(`quotacast forecast-bench: ${said}`)
  expect(stderr.trim().split('\n')).toHaveLength(1)
})
