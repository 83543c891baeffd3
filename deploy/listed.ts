/** The analyzer's lists, read page by page. */
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
  type Page = Record<typeof kind, Listed<T>[]> & Paged
  for await (const page of readPages<Page>(`/v1/${kind}`, {}, config)) yield* page[kind]
}

interface Paged {
  nextCursor: string | null
}

/** The answers of a list, page by page. Throws `RoleError` while the analyzer is away. */
export async function* readPages<Page extends Paged>(
  path: string,
  query: Readonly<Record<string, string>>,
  config: Config,
): AsyncGenerator<Page> {
  const asked = new URLSearchParams({ ...query, limit: `${PAGE}` })
  for (let hasMore = true; hasMore; ) {
    const page = (await getJson('analyzer', `${path}?${asked}`, config)) as Page
    yield page
    hasMore = page.nextCursor !== null
    asked.set('cursor', page.nextCursor ?? '')
  }
}
