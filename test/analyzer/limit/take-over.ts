import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { LimiterProcess } from './limiter-process.ts'

/** Has another process open the limit store in `limitsDir` and decide, until it is told to stop. Its log is beside it. */
export async function takeOver(limitsDir: string): Promise<() => Promise<void>> {
  const task: LimiterProcess = { logDir: `${limitsDir}-log`, limitsDir, key: 'k'.repeat(32), estimate: 1 }
  const script = join(import.meta.dirname, 'limiter-process.ts')
  const child = spawn(process.execPath, [script, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  await Promise.race([once(child.stdout, 'data'), exited])
  return async () => {
    child.kill('SIGKILL')
    await exited
  }
}
