/** What concerns all tenants is not for a token that is bound to one. */
import type { Principal } from './principal.ts'

class TenantError extends Error {
  readonly statusCode = 403
  readonly code = 'TENANT_FORBIDDEN'

  constructor() {
    super('This concerns all tenants, the token only one.')
    this.name = 'TenantError'
  }
}

/** Throws `TenantError`. */
export function requireAllTenants({ tenant }: Principal): void {
  if (tenant !== null) throw new TenantError()
}
