import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Principal } from '../../collector/principal.ts'
import { createVerifier } from '../../deploy/auth.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const made: Principal = { name: 'made', scopes: new Set(['read']), tenant: 'globex' }
const verify = createVerifier({
  adminToken: 'qc_admin',
  tokens: [{ name: 'edge', sha256: sha256('edge-token'), scopes: ['ingest', 'check'], tenant: 'acme' }],
  verifyToken: token => (token === 'made-token' ? made : null),
})

test('the admin token may do all for every tenant', () => {
  expect(verify('qc_admin')).toMatchObject({ name: 'admin', tenant: null })
  expect(verify('qc_admin')?.scopes.has('admin')).toBe(true)
})

test('a token of the config has its scopes and its tenant, and no more', () => {
  expect(verify('edge-token')).toEqual({ name: 'edge', scopes: new Set(['ingest', 'check']), tenant: 'acme' })
})

test('a token made at run time is whose control says', () => expect(verify('made-token')).toBe(made))

test('anything else is nobody, the digest of a token too', () => {
  for (const token of ['', 'qc_admi', 'qc_admin ', sha256('edge-token'), sha256('qc_admin')])
    expect(verify(token)).toBe(null)
})
