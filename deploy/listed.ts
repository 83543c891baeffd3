/** The analyzer's lists of what can be changed at run time, read page by page. */
import type { Config } from './config-schema.ts'
import { getJson } from './role-client.ts'

const PAGE = 1_000

export interface Listed<T> {
  key: string
  version: number | null
  value: T
}

/** All that `GET /v1/{kind}` lists, in the order of keys. Throws `RoleError` while the analyzer is away. */
export async function* readListed<T>(
  kind: 'quotas' | 'overrides' | 'grants',
  config: Config,
): AsyncGenerator<Listed<T>> {
  let cursor: string | null = null
  do {
    const after: string = cursor === null ? '' : `&cursor=${cursor}`
    const page = (await getJson('analyzer', `/v1/${kind}?limit=${PAGE}${after}`, config)) as Record<
      typeof kind,
      Listed<T>[]
    > & { nextCursor: string | null }
    yield* page[kind]
    cursor = page.nextCursor
  } while (cursor !== null)
}
