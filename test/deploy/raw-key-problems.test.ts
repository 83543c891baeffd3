/** Raw keys in the place of names: the config is refused, and says what to write instead. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createIdentity } from '../../collector/identity.ts'
import { loadConfig } from '../../deploy/config.ts'
import { ConfigError } from '../../deploy/config-problems.ts'
import { openSecrets } from '../../deploy/secrets.ts'

const RAW_KEY = 'sk-proj-a1b2c3d4e5f6g7h8i9j0'
const OTHER = 'Bearer abc123def456ghi789'
const CONFIG = `labels: [team]
quotas:
  - { name: one, unit: requests, limit: 1, window: { kind: rate, everySeconds: 1m }, match: { tenant: ${RAW_KEY}, consumer: shop } }
  - { name: two, unit: requests, limit: 1, window: { kind: rate, everySeconds: 1m }, match: { providerKey: [openai-1, ${RAW_KEY}], team: ${OTHER} } }
`

let dir: string
let file: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  file = join(dir, 'quotacast.yaml')
  writeFileSync(file, CONFIG)
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const dataDir = () => join(dir, 'data')
const problems = async (more = ''): Promise<readonly string[]> => {
  writeFileSync(file, CONFIG + more)
  const error = await loadConfig({ file, dataDir: dataDir(), environment: {} }).catch((thrown: unknown) => thrown)
  if (error instanceof ConfigError) return error.problems
  throw error
}
const problem = (place: string, name: string) =>
  `quotas[1].match.${place} is a raw key, which is kept nowhere: say ${name}, or the consumer that the keys of the config give it`

test.each([
  ['the keys of the data folder', () => openSecrets(dataDir(), {}).fingerprintKeys, ''],
  ['the keys of the config', () => ['f'.repeat(32)], `secrets: { fingerprintKeys: [${'f'.repeat(32)}] }\n`],
])('all are told with their fingerprints under %s, none with itself', async (_, keys, more) => {
  const { fingerprint } = createIdentity({ fingerprintKeys: keys(), keys: [] })
  expect(await problems(more)).toEqual([
    problem('providerKey[1]: providerKey', fingerprint(RAW_KEY)),
    problem('team: team', fingerprint(OTHER)),
  ])
})

test('before the first start there is no fingerprint yet, and none is made for it', async () => {
  const [first = ''] = await problems()
  expect(first).toMatch(/^quotas\[1\]\.match\.providerKey\[1\]: .* is a raw key, .* once the first start/)
  expect(first).not.toContain(RAW_KEY)
  expect(readdirSync(dir)).toEqual(['quotacast.yaml'])
})

test('a fingerprint is taken', async () => {
  const quota =
    '{ name: a, unit: requests, limit: 1, window: { kind: rate, everySeconds: 1m }, match: { consumer: "key:0123456789abcdef01234567" } }'
  writeFileSync(file, `quotas: [${quota}]\n`)
  await expect(loadConfig({ file, dataDir: dataDir(), environment: {} })).resolves.toBeDefined()
})
