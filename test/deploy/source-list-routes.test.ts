import { expect, test } from 'vitest'
import { loadConfig } from '../../deploy/config.ts'
import type { Config } from '../../deploy/config-schema.ts'
import { GUIDES } from '../../deploy/gateways/guides.ts'
import { createSourceListRoutes } from '../../deploy/source-list-routes.ts'
import { principalOf, testServer } from '../analyzer/api/server.ts'

const config: Config = await loadConfig({
  overrides: ['sources.my-shop.dialect=nginx', 'sources.my-shop.tenant=acme', 'collector.port=8411'],
})
const server = await testServer([createSourceListRoutes(config, principalOf)])

test('lists the sources of the config and every gateway that needs none', async () => {
  const { sources } = (await server.inject('/v1/sources')).json()
  expect(sources).toHaveLength(1 + GUIDES.length)
  expect(sources[0]).toEqual({
    name: 'my-shop',
    title: 'my-shop',
    dialect: 'nginx',
    ways: ['http'],
    isConfigured: true,
  })
  expect(sources).toContainEqual(expect.objectContaining({ name: 'kong', title: 'Kong Gateway', isConfigured: false }))
})

test('what is to be pasted names the collector as the reader reached this machine', async () => {
  const guide = async (name: string, host: string) =>
    (await server.inject({ url: `/v1/sources/${name}`, headers: { host } })).json()
  const { title, ways, setups } = await guide('kong', 'quotacast.internal:7414')
  expect(title).toBe('Kong Gateway')
  expect(ways).toContain('HTTP')
  expect(setups[0].steps[0].snippet).toContain('http://quotacast.internal:8411/v1/sources/kong')
  expect(JSON.stringify(await guide('kong', '[::1]:7414'))).toContain('http://[::1]:8411/v1/sources/kong')
  expect(JSON.stringify(await guide('my-shop', 'localhost'))).toContain('/v1/sources/my-shop')
})

test('a source that there is not is said', async () => {
  expect((await server.inject('/v1/sources/nothing')).statusCode).toBe(404)
})

test('a caller of one tenant sees no source of another one', async () => {
  const seenBy = async (tenant: string) => {
    const { sources } = (await server.inject({ url: '/v1/sources', headers: { 'x-tenant': tenant } })).json()
    const { statusCode } = await server.inject({ url: '/v1/sources/my-shop', headers: { 'x-tenant': tenant } })
    return [sources[0].name, statusCode]
  }
  expect(await seenBy('acme')).toEqual(['my-shop', 200])
  expect(await seenBy('other')).toEqual([GUIDES[0]?.name, 404])
})
