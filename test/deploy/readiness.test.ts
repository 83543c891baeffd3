import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sayWhenReady } from '../../deploy/readiness.ts'

const servers: Server[] = []
let said: Record<string, string>[]
let stopping: AbortController
beforeEach(() => {
  said = []
  stopping = new AbortController()
})
afterEach(() => {
  stopping.abort()
  for (const server of servers.splice(0)) server.close()
})

/** A role that is not ready for as long as `reasons` holds something. */
async function openRole(reasons: string[]): Promise<string> {
  const server = createServer((_, response) => {
    response.writeHead(reasons.length === 0 ? 200 : 503).end(JSON.stringify({ isReady: reasons.length === 0, reasons }))
  })
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const watch = (urls: Record<string, string>, patienceMs: number) =>
  sayWhenReady({
    urls: new Map(Object.entries(urls)),
    say: notReady => said.push(Object.fromEntries(notReady)),
    signal: stopping.signal,
    patienceMs,
  })

test('roles that are ready in time are told once', async () => {
  const reasons = ['the store is away']
  setTimeout(() => reasons.splice(0), 200)
  await watch({ collector: await openRole([]), analyzer: await openRole(reasons) }, 60_000)
  expect(said).toEqual([{}])
})

test('when they take long, who is not ready is told once, and when all are', async () => {
  const reasons = ['the store is away']
  const watching = watch({ collector: await openRole([]), analyzer: await openRole(reasons) }, 200)
  await expect.poll(() => said, { timeout: 5_000 }).toEqual([{ analyzer: 'the store is away' }])
  await sleep(1_500)
  expect(said).toHaveLength(1)
  reasons.splice(0)
  await watching
  expect(said).toEqual([{ analyzer: 'the store is away' }, {}])
})

test('a role that was ready and is not any more is waited for', async () => {
  const [collector, analyzer] = [[] as string[], ['the store is away']]
  const watching = watch({ collector: await openRole(collector), analyzer: await openRole(analyzer) }, 200)
  await expect.poll(() => said, { timeout: 5_000 }).toHaveLength(1)
  collector.push('the log is full')
  analyzer.splice(0)
  await sleep(2_500)
  expect(said).toHaveLength(1)
  collector.splice(0)
  await watching
  expect(said.at(-1)).toEqual({})
})

test('one that answers nothing is named so, and after the stop nothing is told', async () => {
  const reasons: string[] = []
  const url = await openRole(reasons)
  const watching = watch({ collector: url, limiter: 'http://127.0.0.1:1' }, 0)
  await expect.poll(() => said, { timeout: 5_000 }).toEqual([{ limiter: 'does not answer' }])
  stopping.abort()
  await watching
  expect(said).toHaveLength(1)
})
