/** What can be changed at run time, as it is listed: by its keys, page by page, as there may be 100,000 of a kind. */
import Type, { type Static, type TSchema } from 'typebox'
import type { Control } from '../control/control.ts'
import type { Policy } from '../policy/policy.ts'
import { createValueReader } from '../policy/value-reader.ts'
import { NextCursor, pageQuery } from './cursor.ts'

/** Of what can be changed, and of configured quotas. */
export const KEY = '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'

export const ListQuery = Type.Object(
  {
    ...pageQuery(),
    cursor: Type.Optional(Type.String({ pattern: KEY, description: '`nextCursor` of the page before.' })),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
export type ListQuery = Static<typeof ListQuery> & { limit: number }

/** Of one kind, of which `name` says what a page holds. */
export const listAnswer = (name: string, value: TSchema) =>
  Type.Object({
    [name]: Type.Array(
      Type.Object({
        key: Type.String(),
        version: Type.Union([Type.Integer(), Type.Null()], { description: 'Null: of the config.' }),
        value,
      }),
      { description: 'In the order of their keys.' },
    ),
    nextCursor: NextCursor,
  })

export interface ListedKind {
  kind: 'quota' | 'override' | 'grant' | 'block' | 'silence'
  schema: TSchema
}

export interface ListDeps {
  control: Pick<Control, 'keys' | 'current'>
  policy: () => Policy
  configured: ReadonlySet<string>
}

/** Answers pages. What another version of this program wrote, and this one cannot read, has no effect, and is not listed. */
export function createList(name: string, { kind, schema }: ListedKind, { control, policy, configured }: ListDeps) {
  const read = createValueReader(schema)
  const isConfigured = (key: string) => kind === 'quota' && configured.has(key)
  const find = (key: string) => {
    if (isConfigured(key)) return { key, version: null, value: policy().byName.get(key)?.options }
    const { version, value } = control.current(kind, key)
    return { key, version, value: read(value) }
  }
  return ({ limit, cursor = '' }: ListQuery) => {
    const keys = new Set([...(kind === 'quota' ? configured : []), ...control.keys(kind)])
    const page: ReturnType<typeof find>[] = []
    for (const key of [...keys].filter(one => one > cursor).sort()) {
      const listed = find(key)
      if ((listed.value ?? null) === null) continue
      if (page.length === limit) return { [name]: page, nextCursor: page.at(-1)?.key ?? null }
      page.push(listed)
    }
    return { [name]: page, nextCursor: null }
  }
}
