import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openAdminToken, openSecrets, SecretsError, tokenFile } from '../../deploy/secrets.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const mode = (file: string) => statSync(file).mode & 0o777

describe('secrets', () => {
  test('are made once, for the owner alone, in a folder that may not exist yet', () => {
    const dataDir = join(dir, 'new', 'data')
    const secrets = openSecrets(dataDir, {})
    expect(openSecrets(dataDir, {})).toEqual(secrets)
    expect(mode(join(dataDir, 'secrets.json'))).toBe(0o600)
    expect(mode(dataDir)).toBe(0o700)
    expect(secrets.fingerprintKeys[0]).toMatch(/^[0-9a-f]{64}$/)
    expect(secrets.fingerprintKeys[0]).not.toBe(secrets.decisionKeys[0])
  })

  test('of the config hold, and need no file when they are complete', () => {
    const configured = { fingerprintKeys: ['f'.repeat(32)], decisionKeys: ['d'.repeat(32)] }
    expect(openSecrets(dir, configured)).toEqual(configured)
    expect(() => statSync(join(dir, 'secrets.json'))).toThrow()
    expect(openSecrets(dir, { fingerprintKeys: configured.fingerprintKeys }).fingerprintKeys).toEqual(
      configured.fingerprintKeys,
    )
  })

  test.each(['', '{', '{"fingerprintKeys":[]}', '{"fingerprintKeys":["short"],"decisionKeys":["short"]}'])(
    'that are broken (%j) are refused and never replaced, and their text is not quoted',
    text => {
      writeFileSync(join(dir, 'secrets.json'), text)
      expect(() => openSecrets(dir, {})).toThrow(SecretsError)
      expect(() => openSecrets(dir, {})).not.toThrow(/short/)
    },
  )
})

test('processes that start together agree on one token', async () => {
  const module = new URL('../../deploy/secrets.ts', import.meta.url).href
  const script = `import(${JSON.stringify(module)}).then(s => process.stdout.write(s.openAdminToken(${JSON.stringify(dir)})))`
  const tokens = await Promise.all(
    Array.from({ length: 4 }, async () => (await promisify(execFile)(process.execPath, ['-e', script])).stdout),
  )
  expect(new Set(tokens)).toEqual(new Set([openAdminToken(dir)]))
  expect(mode(tokenFile(dir))).toBe(0o600)
})

test('a file that cannot be read says why', () => {
  mkdirSync(tokenFile(dir))
  expect(() => openAdminToken(dir)).toThrow(/token cannot be read: EISDIR/)
  writeFileSync(join(dir, 'file'), '')
  expect(() => openSecrets(join(dir, 'file'), {})).toThrow(/secrets\.json cannot be read: ENOTDIR/)
})

test('where the folder may not be written it says what to do', () => {
  expect(() => openAdminToken('/sys/quotacast')).toThrow(/token cannot be made: E.*; let this user .* with --data$/)
  writeFileSync(join(dir, 'file'), '')
  expect(() => openAdminToken(join(dir, 'file'))).toThrow(SecretsError)
})

test('an empty token file lets nobody in', () => {
  writeFileSync(tokenFile(dir), '\n')
  expect(() => openAdminToken(dir)).toThrow(SecretsError)
})
