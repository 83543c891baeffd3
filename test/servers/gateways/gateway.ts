/** A real gateway for tests: its files in a folder of its own, its ports free ones on loopback, nothing left behind. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess } from '../process.ts'

const START_DEADLINE_MS = 60_000
const POLL_MS = 50
const OUTPUT_CHARACTERS = 4000

export interface Gateway {
  dir: string
  /** Of its own output. */
  logFile: string
  signal(name: NodeJS.Signals): void
  /** SIGTERM, and everything of it removed. */
  stop(): Promise<void>
}

export interface GatewayProgram {
  name: string
  command: string
  /** Arguments, given the folder that holds `files`. */
  args: (dir: string) => readonly string[]
  /** By path within the folder, given the folder. */
  files: (dir: string) => Readonly<Record<string, string>>
  /** It is there when it accepts connections here. */
  port: number
  /** How long it may take until then. */
  deadlineMs?: number
}

/** Resolves when it accepts connections; rejects with its output when it does not. */
export async function startGateway(program: GatewayProgram): Promise<Gateway> {
  const { name, command, args, files, port, deadlineMs = START_DEADLINE_MS } = program
  const dir = mkdtempSync(join(tmpdir(), `quotacast-${name}-`))
  for (const [path, text] of Object.entries(files(dir))) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
  const logFile = join(dir, 'output.log')
  const server = startProcess(command, args(dir), { cwd: dir, logFile })
  const stop = async () => {
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  const endMs = Date.now() + deadlineMs
  while (!(await accepts(port))) {
    if (server.ended() !== null || Date.now() > endMs) {
      const output = readFileSync(logFile, 'utf8').slice(-OUTPUT_CHARACTERS)
      await stop()
      throw new Error(`${name} does not start (${server.ended() ?? 'no answer'}):\n${output}`)
    }
    await sleep(POLL_MS)
  }
  return { dir, logFile, signal: server.signal, stop }
}

const accepts = (port: number) =>
  new Promise<boolean>(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
