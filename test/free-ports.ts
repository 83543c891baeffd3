import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that the system gives to outgoing connections, one of which could take a port between its choice and
 * its use. Test workers run side by side, so each has a block of its own; two runs on one machine start anywhere in it.
 */
const FIRST_PORT = 10_240
const BLOCK_PORTS = 2_500
const BLOCKS = 8

const block = Number(process.env.VITEST_POOL_ID ?? 0) % BLOCKS
let next = Math.floor(Math.random() * BLOCK_PORTS)

/** Ports of the loopback interface that nobody listens on, no port twice within a worker before it has used its block. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  for (let tries = 0; ports.length < count && tries < BLOCK_PORTS; tries += 1) {
    const port = FIRST_PORT + block * BLOCK_PORTS + next
    next = (next + 1) % BLOCK_PORTS
    if (await isFree(port)) ports.push(port)
  }
  if (ports.length < count) throw new Error(`no ${count} ports are free in ${BLOCK_PORTS} from ${FIRST_PORT}`)
  return ports
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
  } catch {
    return false
  }
  await new Promise(resolve => server.close(resolve))
  return true
}
