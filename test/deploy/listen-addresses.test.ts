import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../deploy/config.ts'
import { untilListenable } from '../../deploy/listen-addresses.ts'
import { freePorts } from '../free-ports.ts'

const ROLES = ['store', 'limiter'] as const

async function configured(overrides: readonly string[] = []) {
  const keys = ['store.port', 'store.healthPort', 'limiter.port', 'limiter.grpc.port', 'analyzer.port']
  const ports = await freePorts(keys.length)
  return loadConfig({ overrides: [...keys.map((key, index) => `${key}=${ports[index]}`), ...overrides] })
}

async function taken(...ports: number[]) {
  const servers = ports.map(port => createServer().listen(port, '127.0.0.1'))
  await Promise.all(servers.map(server => once(server, 'listening')))
  return { free: () => Promise.all(servers.map(server => new Promise(resolve => server.close(resolve)))) }
}

describe('addresses to listen on', () => {
  test('that somebody has are all named, once the time to stop has passed', async () => {
    const config = await configured()
    const engine = config.store.kind === 'embedded' ? config.store.port : 0
    const others = await taken(engine, config.limiter.grpc.port)
    const problem = untilListenable(config, ROLES, { onWait: () => undefined, deadlineMs: 300 })
    await expect(problem).rejects.toMatchObject({
      code: 'ADDRESS',
      message: expect.stringMatching(
        /^store\.port: .*in use.*\nlimiter\.grpc\.port: .*in use.*\nDoes Quotacast run here/,
      ),
    })
    await untilListenable(config, ['analyzer'], { onWait: () => expect.fail() })
    // While there is time they are waited for, which is told once.
    const waits: string[][] = []
    const waiting = untilListenable(config, ROLES, {
      onWait: problems => waits.push([...problems]),
      deadlineMs: 60_000,
    })
    await expect.poll(() => waits).toHaveLength(1)
    await sleep(500)
    await others.free()
    await waiting
    expect(waits).toEqual([[expect.stringContaining('store.port'), expect.stringContaining('limiter.grpc.port')]])
    await untilListenable(config, ROLES, { onWait: () => expect.fail() })
  })

  test('that are given back in time are no problem', async () => {
    const config = await configured()
    const others = await taken(config.limiter.port)
    await untilListenable(config, ROLES, { onWait: () => void others.free() })
  })

  test('that this machine does not have are refused at once', async () => {
    const config = await configured(['limiter.host=192.0.2.1'])
    const problem = untilListenable(config, ROLES, { onWait: () => expect.fail() })
    await expect(problem).rejects.toThrow(/^limiter\.port: .*EADDRNOTAVAIL/)
  })
})
