/** The API as the console asks it: same origin, the session's cookie, problems as errors that can be shown. */

/** Most that a list answers at once. */
const PAGE_MAX = 1_000
const RETRIES_MAX = 2
const RETRY_MS = 500
/** Of a role that hangs, somebody who waits wants to know, instead of waiting once more. */
const RETRIED_MS_MAX = 5_000
/** Longer than the store may take for a query. */
const TIMEOUT_MS = 90_000

/** An answer that is not a success, or none at all (`status` 0). */
export class ApiError extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, detail: string) {
    super(detail)
    this.name = 'ApiError'
    this.status = status
    this.code = code
  }
}

/** Told when the session has ended, or never began. */
export const sessionEnds = new EventTarget()
/** The cookie is that of all tabs: the others are told when it stands for somebody else, or for nobody. */
export const otherTabs = new BroadcastChannel('quotacast-session')
const SESSION_PATH = '/v1/session'

/** Parameters as a query string; `undefined` and '' are left out where `keepsEmpty` does not say otherwise. */
export function queryOf(parameters: Readonly<Record<string, string | number | undefined>>, keepsEmpty = false): string {
  const known = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined || (value === '' && !keepsEmpty) ? [] : [[name, String(value)]],
  )
  return new URLSearchParams(known).toString()
}

/** Throws `ApiError`, and what `fetch` throws when `signal` aborts it. */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const beganMs = performance.now()
  for (let attempt = 0; ; attempt++) {
    try {
      return await send<T>(path, { signal: signal ?? null })
    } catch (error) {
      const isTemporary = error instanceof ApiError && (error.status === 503 || error.status === 0)
      const isLate = attempt === RETRIES_MAX || performance.now() - beganMs > RETRIED_MS_MAX
      if (!isTemporary || isLate) throw error
      await new Promise(resolve => setTimeout(resolve, RETRY_MS * 2 ** attempt))
    }
  }
}

/** What a list answers, and where it goes on. */
export interface Page {
  nextCursor: string | null
}

/** Of a list the entries `kind`, page by page, until there are `most` of them; the rest of the answer is that of the first. */
export async function getPages<T extends Page>(
  path: string,
  { kind, most }: { kind: keyof T & string; most: number },
  signal?: AbortSignal,
): Promise<T> {
  const url = new URL(path, location.href)
  const entries: unknown[] = []
  const read = async () => {
    url.searchParams.set('limit', `${Math.min(most - entries.length, PAGE_MAX)}`)
    const page = await getJson<T>(`${url.pathname}${url.search}`, signal)
    entries.push(...(page[kind] as unknown[]))
    return page
  }
  const first = await read()
  let { nextCursor } = first
  while (nextCursor !== null && entries.length < most) {
    url.searchParams.set('cursor', nextCursor)
    nextCursor = (await read()).nextCursor
  }
  return { ...first, [kind]: entries, nextCursor }
}

/** As `getJson`; nothing is tried again. */
export const postJson = <T>(path: string, body: object, signal?: AbortSignal): Promise<T> =>
  sendJson<T>('POST', path, body, signal)

/** The same. */
export const putJson = (path: string, body: object): Promise<unknown> => sendJson('PUT', path, body)

/** The same. */
export const remove = (path: string): Promise<unknown> => send(path, { method: 'DELETE' })

/** Resolves when the session has ended, also where it had before. Throws `ApiError` where it may live on. */
export async function logOut(): Promise<void> {
  await remove(SESSION_PATH).catch((error: unknown) => {
    if (!(error instanceof ApiError && error.status === 401)) throw error
  })
  sessionEnds.dispatchEvent(new Event('end'))
  otherTabs.postMessage('ended')
}

const sendJson = <T>(method: string, path: string, body: object, signal?: AbortSignal): Promise<T> =>
  send<T>(path, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: signal ?? null,
  })

async function send<T>(path: string, init: RequestInit): Promise<T> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout
  const response = await fetch(path, { ...init, signal, redirect: 'error' }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError(0, 'UNREACHABLE', 'The analyzer does not answer. Is it running?')
  })
  if (response.ok) return (response.status === 204 ? null : await response.json()) as T
  const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string }
  if (response.status === 401) sessionEnds.dispatchEvent(new Event('end'))
  throw new ApiError(response.status, problem.code ?? '', problem.detail ?? response.statusText)
}
