import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { loadAssets } from '../../../analyzer/console/assets.ts'
import { createConsoleRoutes } from '../../../analyzer/console/routes.ts'
import { testServer } from '../api/server.ts'

const server = await testServer([createConsoleRoutes()])
const page = await server.inject('/')
const importMap = /<script type="importmap">(.*?)<\/script>/.exec(page.body)?.[1] ?? ''
const { imports } = JSON.parse(importMap) as { imports: Record<string, string> }

test('the page allows scripts of its origin and its import map, and nothing else', () => {
  const policy = String(page.headers['content-security-policy'])
  expect(policy).toContain(`script-src 'self' 'sha256-${createHash('sha256').update(importMap).digest('base64')}'`)
  for (const rule of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]) {
    expect(policy).toContain(rule)
  }
  expect(policy).not.toContain('unsafe')
  expect(page.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
})

test('the page is asked for again each time, what it loads never', async () => {
  expect(page.headers['cache-control']).toBe('no-cache')
  const again = await server.inject({ url: '/', headers: { 'if-none-match': String(page.headers.etag) } })
  expect(again.statusCode).toBe(304)
  for (const [, url = ''] of page.body.matchAll(/(?:src|href)="([^"]+)"/g)) {
    const answer = await server.inject(url)
    expect(answer.statusCode, url).toBe(200)
    expect(answer.headers['cache-control'], url).toContain('immutable')
  }
})

test('every module finds what it imports, and has no types left', async () => {
  const { version, assets } = loadAssets()
  const modules = assets.filter(({ name }) => name.endsWith('.ts'))
  expect(modules.length).toBeGreaterThan(10)
  for (const { name, body } of modules) {
    const source = body.toString()
    expect(source, name).not.toMatch(/^import type|^export interface|: string\b/m)
    for (const [, from = ''] of source.matchAll(/^(?:import|export|\}).* from '([^']+)'/gm)) {
      const url = from.startsWith('./') ? `/console/${version}/${from.slice(2)}` : imports[from]
      expect(url, `${name} imports ${from}`).toBeDefined()
      expect((await server.inject(url ?? '')).statusCode, `${name} imports ${from}`).toBe(200)
    }
  }
})

test('an asset comes compressed to whoever can read that, and is the same', async () => {
  const url = imports.preact ?? ''
  const plain = await server.inject(url)
  const zipped = await server.inject({ url, headers: { 'accept-encoding': 'gzip, br' } })
  expect(zipped.headers['content-encoding']).toBe('gzip')
  expect(gunzipSync(zipped.rawPayload).equals(plain.rawPayload)).toBe(true)
})
