/** The four roles, and where each one's own HTTP server is. */
import type { Config } from './config-schema.ts'

export const ROLES = ['store', 'collector', 'limiter', 'analyzer'] as const
export type Role = (typeof ROLES)[number]

/** Where a role listens. The engine of the store has an address of its own. */
export function roleAddress(role: Role, config: Config): { host: string; port: number } {
  return role === 'store' ? { host: config.store.host, port: config.store.healthPort } : config[role]
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
