/** What containers are asked: the script as they run it, against servers that answer, refuse, and are not there. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { freePorts } from '../free-ports.ts'
import { REPOSITORY } from './image.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function serve(status: number): Promise<number> {
  const server = createServer((request, response) =>
    response.writeHead(request.url === '/healthz' ? status : 404).end('{}'),
  )
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

const health = (...ports: number[]) =>
  new Promise<{ code: number; stderr: string }>(resolve => {
    const child = execFile(
      process.execPath,
      [join(REPOSITORY, 'deploy/health.ts'), ...ports.map(String)],
      (_error, _stdout, stderr) => resolve({ code: child.exitCode ?? -1, stderr }),
    )
  })

test('is well when every role lives', async () => {
  expect(await health(await serve(200), await serve(200))).toEqual({ code: 0, stderr: '' })
})

test('is not when one of them refuses or is not there, and says which', async () => {
  const [refusing, away = 0] = [await serve(500), ...(await freePorts(1))]
  const { code, stderr } = await health(await serve(200), refusing, away)
  expect(code).toBe(1)
  expect(stderr).toBe(`port ${refusing} answers 500\nport ${away} does not answer\n`)
})

test('is not when nobody says whom to ask', async () => {
  expect((await health()).code).toBe(1)
})
