/** What the API answers, as the state of a component. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, getJson, getPages, type Page } from './api.ts'

/** After a failure it is asked again, also where nothing else is a reason to. */
const AGAIN_MS = 15_000

export interface Resource<T> {
  /** The newest answer; an older one stays until the next has come. */
  answer: T | null
  /** Why the newest request failed, or `null`. */
  error: ApiError | null
}

/** Asks for `path` (`null`: for nothing), again whenever it or `revision` changes, and after a failure. */
export const useResource = <T>(path: string | null, revision = 0): Resource<T> =>
  useAsked(path, getJson<T>, path, revision)

/** The same for a list, of which at most `most` entries are read. */
export const usePages = <T extends Page>(
  path: string,
  { kind, most }: { kind: keyof T & string; most: number },
  revision = 0,
): Resource<T> =>
  useAsked(path, (asked, signal) => getPages<T>(asked, { kind, most }, signal), `${most} ${path}`, revision)

/** What `ask` answers of the path; anew whenever `wish`, which says all that is asked for, changes. */
function useAsked<T>(
  path: string | null,
  ask: (path: string, signal: AbortSignal) => Promise<T>,
  wish: string | null,
  revision: number,
): Resource<T> {
  const [resource, setResource] = useState<Resource<T>>({ answer: null, error: null })
  const [attempt, setAttempt] = useState(0)
  const underWay = useRef<AbortController | null>(null)
  useEffect(() => () => underWay.current?.abort(), [wish])
  // A new revision is a reason to ask again, but none to give up a question that takes longer than a revision lasts.
  useEffect(() => {
    if (path === null || underWay.current?.signal.aborted === false) return
    const abort = new AbortController()
    underWay.current = abort
    ask(path, abort.signal)
      .then(answer => setResource({ answer, error: null }))
      .catch((error: unknown) => {
        if (abort.signal.aborted) return
        setResource(known => ({ ...known, error: toApiError(error) }))
        setTimeout(() => setAttempt(known => known + 1), AGAIN_MS)
      })
      .finally(() => abort.abort())
  }, [wish, revision, attempt])
  return resource
}

/** The value once it has not changed for `delayMs`. */
export function useSettled<T>(value: T, delayMs: number): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(() => value), delayMs)
    return () => clearTimeout(timer)
  }, [value, delayMs])
  return settled
}

/** The present time, kept up as relative times are shown. */
export function useNow(everyMs: number): number {
  const [nowMs, setNowMs] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return nowMs
}

export const toApiError = (error: unknown): ApiError =>
  error instanceof ApiError ? error : new ApiError(0, 'UNEXPECTED', String(error))
