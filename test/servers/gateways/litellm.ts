/** LiteLLM comes in a package of PyPI, once, into a cache outside of the tree. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { programCheck } from '../program.ts'
import { type Gateway, startGateway } from './gateway.ts'

const run = promisify(execFile)

const LITELLM_VERSION = '1.106'
const CACHE_DIR = join(homedir(), '.cache', 'quotacast', `litellm-${LITELLM_VERSION}`)
const PROGRAM = join(CACHE_DIR, 'bin', 'litellm')
/** Three quarters of a gigabyte. */
export const LITELLM_INSTALL_MS = 600_000
/** It loads a thousand modules before it listens. */
export const LITELLM_START_MS = 240_000

export const litellmChecks = [
  programCheck(
    'Python with venv (for LiteLLM)',
    'python3',
    ['-c', 'import venv, ensurepip'],
    'apt-get install python3-venv',
  ),
]

async function ensureLitellm(): Promise<void> {
  if (existsSync(PROGRAM)) return
  await run('python3', ['-m', 'venv', CACHE_DIR], { timeout: LITELLM_INSTALL_MS })
  const install = ['install', '--quiet', '--disable-pip-version-check', `litellm[proxy]~=${LITELLM_VERSION}.0`]
  await run(join(CACHE_DIR, 'bin', 'pip'), install, { timeout: LITELLM_INSTALL_MS })
}

/** LiteLLM's proxy with the given config, as YAML, and modules of Python beside it. */
export async function startLitellm(
  port: number,
  config: string,
  modules: Readonly<Record<string, string>>,
): Promise<Gateway> {
  await ensureLitellm()
  return startGateway({
    name: 'litellm',
    // It would look for the prices of models elsewhere.
    command: 'env',
    args: dir => [
      'LITELLM_LOCAL_MODEL_COST_MAP=True',
      PROGRAM,
      ...['--config', `${dir}/config.yaml`, '--host', '127.0.0.1', '--port', String(port)],
    ],
    files: () => ({ ...modules, 'config.yaml': config }),
    port,
    deadlineMs: LITELLM_START_MS,
  })
}
