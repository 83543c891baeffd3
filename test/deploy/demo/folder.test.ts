import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../deploy/config.ts'
import { openDemoFolder, refuseDemoFolder, saveDemoState } from '../../../deploy/demo/folder.ts'

const NOW_MS = Date.UTC(2026, 10, 21, 18, 30, 12)
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const configOf = (dataDir: string, overrides: string[] = []) => loadConfig({ dataDir, overrides, environment: {} })

describe('the folder of the demo', () => {
  test('is taken when it is empty or missing, and remembers how far it is filled', async () => {
    const config = await configOf(join(dir, 'new'))
    const begun = openDemoFolder(config, NOW_MS)
    expect(begun.filledToMs).toBe(Date.UTC(2026, 10, 6, 18, 30))
    saveDemoState(config.dataDir, { ...begun, filledToMs: NOW_MS })
    expect(openDemoFolder(config, NOW_MS + 1)).toEqual({ originMs: NOW_MS, filledToMs: NOW_MS })
  })

  test('with other data is refused, and nothing is written to it', async () => {
    mkdirSync(join(dir, 'store'))
    const config = await configOf(dir)
    expect(() => openDemoFolder(config, NOW_MS)).toThrow(/holds other data.*--data/)
    expect(existsSync(join(dir, 'demo.json'))).toBe(false)
  })

  test('is refused to everybody else', async () => {
    refuseDemoFolder(dir)
    openDemoFolder(await configOf(dir), NOW_MS)
    expect(() => refuseDemoFolder(dir)).toThrow(/synthetic calls.*--demo/)
  })

  test('whose state is damaged says what to do', async () => {
    writeFileSync(join(dir, 'demo.json'), '{"originMs":')
    const config = await configOf(dir)
    expect(() => openDemoFolder(config, NOW_MS)).toThrow(/delete the folder/)
  })

  test('holds all of the demo', async () => {
    const config = await configOf(dir, ['limits.kind=redis', 'limits.url=redis://127.0.0.1', ...SECRETS])
    expect(() => openDemoFolder(config, NOW_MS)).toThrow(/leave log, store and limits embedded/)
  })
})

const KEY = 'k'.repeat(32)
const SECRETS = [`secrets.fingerprintKeys=[${KEY}]`, `secrets.decisionKeys=[${KEY}]`]
