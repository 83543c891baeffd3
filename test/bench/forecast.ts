/**
 * The forecaster, judged by the public scorer beside the repository: it makes the tasks, `quotacast forecast-bench`
 * answers them, it scores the answers.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, createWriteStream, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'

const REPOSITORY = new URL('../..', import.meta.url).pathname
const SCORER = new URL('../../../shared/forecast-bench', import.meta.url).pathname
const OUTPUT_BYTES_MAX = 64 * 2 ** 20

const run = promisify(execFile)
const scorer = async (script: string, ...args: string[]): Promise<string> => {
  const { stdout } = await run(process.execPath, [join(SCORER, script), ...args], { maxBuffer: OUTPUT_BYTES_MAX })
  return stdout
}

/** Pipes a file through `quotacast forecast-bench`. */
async function answer(input: string, output: string, ...flags: string[]): Promise<void> {
  const child = spawn(process.execPath, [join(REPOSITORY, 'deploy/main.ts'), 'forecast-bench', ...flags], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  await Promise.all([pipeline(createReadStream(input), child.stdin), pipeline(child.stdout, createWriteStream(output))])
  const [code] = await ended
  if (code !== 0) throw new Error(`quotacast forecast-bench ended with ${code}`)
}

/** Prints the scorer's tables: exhaustion by group of series, and the hourly series of the M4 competition. */
export async function benchForecast(): Promise<void> {
  if (!existsSync(SCORER)) {
    process.stdout.write(`Forecasts: not measured. The scorer is expected at ${SCORER}, and its data beside it.\n\n`)
    return
  }
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-forecast-'))
  const at = (name: string) => join(dir, name)
  try {
    await scorer('tasks.js', '--out', dir)
    await answer(at('tasks.jsonl'), at('quotacast.jsonl'))
    const exhaustion = await scorer('score.js', '--truth', at('truth.jsonl'), '--forecasts', at('quotacast.jsonl'))
    process.stdout.write(`Exhaustion, development half\n\n${exhaustion}\n`)
    await scorer('m4.js', '--export', at('m4-in.jsonl'))
    await answer(at('m4-in.jsonl'), at('quotacast-m4.jsonl'), '--m4')
    process.stdout.write(
      `M4 hourly, validation cut\n\n${await scorer('m4.js', '--forecasts', at('quotacast-m4.jsonl'))}\n`,
    )
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
