import { tmpdir } from 'node:os'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { openRedisLimits } from '../../../analyzer/limit/redis.ts'

test('a key where a file is due is not quoted', async () => {
  const options = { kind: 'redis', url: 'rediss://127.0.0.1:1', db: 0, keyPrefix: 't:', bucketsMax: 1000 } as const
  const opening = openRedisLimits(
    { ...options, requestsMax: 0, tls: { keyFile: 'hunter2' } },
    { dir: tmpdir(), log: pino({ level: 'silent' }) },
  )
  const error = await opening.catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ message: 'limits.tls.keyFile: the file cannot be read (ENOENT)' })
  expect(error).not.toHaveProperty('cause')
})
