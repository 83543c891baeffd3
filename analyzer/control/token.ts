/** A token made at run time: what it may do, and the digest of what it is. */
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { type Principal, SCOPES } from '../../collector/principal.ts'

const TokenEntrySchema = Type.Object(
  {
    name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' }),
    scopes: Type.Array(Type.Enum(SCOPES), { minItems: 1 }),
    tenant: Type.Union([Type.String({ minLength: 1 }), Type.Null()]),
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    createdAtMs: Type.Integer({ minimum: 0 }),
  },
  { additionalProperties: false },
)
export type TokenEntry = Static<typeof TokenEntrySchema>

const tokenEntry = Compile(TokenEntrySchema)
export const isTokenEntry = (value: unknown): value is TokenEntry => tokenEntry.Check(value)

export const toPrincipal = ({ name, scopes, tenant }: TokenEntry): Principal => ({
  name,
  scopes: new Set(scopes),
  tenant,
})
