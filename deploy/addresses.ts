/** The four roles, and where each one's own HTTP server is. */
import assert from 'node:assert/strict'
import type { Config } from './config-schema.ts'

export const ROLES = ['store', 'collector', 'limiter', 'analyzer'] as const
export type Role = (typeof ROLES)[number]

/** The roles that there are to run: a ClickHouse server is somebody else's. */
export const rolesOf = ({ store }: Config): readonly Role[] =>
  ROLES.filter(role => role !== 'store' || store.kind === 'embedded')

/** Where a role listens. The engine of the store has an address of its own. */
export function roleAddress(role: Role, config: Config): { host: string; port: number } {
  if (role !== 'store') return config[role]
  assert(config.store.kind === 'embedded', 'only an embedded store is a role')
  return { host: config.store.host, port: config.store.healthPort }
}

/** The URL under which this machine reaches a role. */
export function roleUrl(role: Role, config: Config): string {
  const { host, port } = roleAddress(role, config)
  return urlOf(host, port)
}

/** The URL of a listening address as seen from this machine. */
export function urlOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}
