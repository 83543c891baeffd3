/** Whose token it is: the admin token of the data folder, tokens of the config, tokens made at run time. */
import { hash } from 'node:crypto'
import { type Principal, SCOPES } from '../collector/principal.ts'
import type { Config } from './config-schema.ts'

/**
 * Answers whose token it is, or `null`. Tokens are looked up by their digest: what the time of a look-up gives away is
 * about the digest, and brings nobody nearer to a token.
 */
export function createVerifier(deps: {
  adminToken: string
  tokens: Config['auth']['tokens']
  /** Tokens made at run time. */
  verifyToken: (token: string) => Principal | null
}): (token: string) => Principal | null {
  const known = new Map<string, Principal>()
  for (const { name, sha256, scopes, tenant = null } of deps.tokens) {
    known.set(sha256, { name, scopes: new Set(scopes), tenant })
  }
  known.set(hash('sha256', deps.adminToken), { name: 'admin', scopes: new Set(SCOPES), tenant: null })
  return token => known.get(hash('sha256', token)) ?? deps.verifyToken(token)
}
