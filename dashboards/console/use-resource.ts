/** What the API answers, as the state of a component. */
import { useEffect, useState } from 'preact/hooks'
import { ApiError, getJson } from './api.ts'

export interface Resource<T> {
  /** The newest answer; an older one stays until the next has come. */
  answer: T | null
  /** Why the newest request failed, or `null`. */
  error: ApiError | null
}

/** Asks for `path` (`null`: for nothing), and again whenever it or `revision` changes. */
export function useResource<T>(path: string | null, revision = 0): Resource<T> {
  const [resource, setResource] = useState<Resource<T>>({ answer: null, error: null })
  // A new revision is the reason to ask again.
  useEffect(() => {
    if (path === null) return
    const abort = new AbortController()
    getJson<T>(path, abort.signal)
      .then(answer => setResource({ answer, error: null }))
      .catch((error: unknown) => {
        if (!abort.signal.aborted) setResource(known => ({ ...known, error: toApiError(error) }))
      })
    return () => abort.abort()
  }, [path, revision])
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
