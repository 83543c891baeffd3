import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, expect, test } from 'vitest'
import { openCallLog } from '../../../collector/log/open.ts'

const REPOSITORY = new URL('../../..', import.meta.url).pathname
const dataDir = mkdtempSync(join(tmpdir(), 'quotacast-'))
afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

const token = (...args: string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>(resolve => {
    const command = [join(REPOSITORY, 'deploy/main.ts'), 'token', ...args, '--data', dataDir]
    const child = execFile(process.execPath, command, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })

test('a token is made before anything runs, listed without its secret, and revoked', async () => {
  const made = await token('create', '--name', 'kong', '--scopes', 'ingest,check', '--tenant', 'acme', '--json')
  expect(made.code).toBe(0)
  const { token: secret, ...description } = JSON.parse(made.stdout)
  expect(description).toEqual({ name: 'kong', scopes: ['ingest', 'check'], tenant: 'acme' })
  const listed = await token('list', '--json')
  expect(JSON.parse(listed.stdout)).toMatchObject([description])
  expect(listed.stdout).not.toContain(secret)

  const again = await token('create', '--name', 'kong', '--scopes', 'read')
  expect(again.code).toBe(1)
  expect(again.stderr).toContain('there is a token kong')
  expect((await token('revoke', '--name', 'kong')).stdout).toBe('Revoked kong.\n')
  expect((await token('revoke', '--name', 'kong')).stderr).toContain('there is no token kong')
  expect(JSON.parse((await token('list', '--json')).stdout)).toEqual([])
  expect((await token('list')).stdout).toBe('There is none but the admin token.\n')
})

test.each([
  [[], 'one of create, list, revoke'],
  [['toString'], 'one of create, list, revoke'],
  [['revoke', 'kong'], 'the name of a token is --name NAME'],
  [['create', '--scopes', 'read'], '--name NAME is needed'],
  [['create', '--name', 'x'], '--scopes is a list of'],
  [['create', '--name', 'x', '--scopes', 'read,write'], 'not write'],
])('token %j is a mistake of the user', async (args, message) => {
  const { code, stderr } = await token(...args)
  expect(stderr).toContain(message)
  expect(code).toBe(2)
})

test('which tokens there are is not guessed where changes are gone from the log', async () => {
  const log = await openCallLog(
    { kind: 'embedded', retentionSeconds: 60, sizeBytesMax: 2 ** 28 },
    { dir: join(dataDir, 'log'), log: pino({ level: 'silent' }), onLoss: () => undefined, now: () => Date.now() * 2 },
  )
  await log.append('control', [{ key: 'x', value: 'whatever it was' }])
  const [partition] = await log.partitions('control')
  if (partition !== undefined) await log.trim(partition, partition.endOffset)
  await log.close()
  for (const args of [['list'], ['create', '--name', 'nginx', '--scopes', 'read']]) {
    const { code, stdout, stderr } = await token(...args)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/which tokens there are is not known: changes 0 to \d+ are gone.*\n$/)
    expect(code).toBe(1)
  }
})
