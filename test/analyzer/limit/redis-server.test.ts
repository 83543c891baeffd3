import { expect, test } from 'vitest'
import { parseServerInfo } from '../../../analyzer/limit/redis-server.ts'

const info = (changed: Record<string, string> = {}) => {
  const fields = {
    redis_version: '7.0.15',
    redis_mode: 'standalone',
    run_id: 'abc',
    maxmemory: '0',
    maxmemory_policy: 'noeviction',
    role: 'master',
    ...changed,
  }
  return `# Server\r\n${Object.entries(fields)
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join('')}`
}

test.each([
  [{}, null],
  [{ maxmemory_policy: 'allkeys-lru' }, null],
  [{ maxmemory: '1000', maxmemory_policy: 'noeviction' }, null],
  [{ maxmemory: '1000', maxmemory_policy: 'volatile-lru' }, /volatile-lru/],
  [{ redis_mode: 'cluster' }, /different nodes/],
  [{ role: 'slave' }, /primary/],
  [{ redis_version: '6.2.14' }, /too old/],
  [{ redis_version: '10.0.0' }, null],
])('a server with %j: %s', (changed, refusal) => {
  const parsed = parseServerInfo(info(changed))
  expect(parsed.runId).toBe('abc')
  if (refusal === null) expect(parsed.refusal).toBeNull()
  else expect(parsed.refusal).toMatch(refusal)
})
