/** Request lines and their targets, and what a draft takes from them. */
import type { Draft } from './draft.ts'
import { textOf, withoutPort } from './fields.ts'
import { credentialOf, type HeaderReader } from './headers.ts'

const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]{1,64}) (\S.*?)(?: HTTP\/[\d.]{1,8})?$/s
/** RFC 9112 section 3.2.2: what clients of proxies send, and what some logs make of HTTP/2. */
const ABSOLUTE = /^[a-z][a-z0-9+.-]{0,31}:\/\/(?:[^/?#]*@)?([^/?#]*)(.*)$/is
const NO_HEADERS: HeaderReader = () => null

/** Method, host, route and credential of `POST /v1/chat?key=… HTTP/1.1`. What is no request line, as of a 400, gives nothing. */
export function putRequestLine(draft: Draft, line: string): void {
  const [, method, target] = REQUEST_LINE.exec(line) ?? []
  if (method === undefined || target === undefined) return
  draft.method ??= method
  if (method === 'CONNECT') draft.host ??= withoutPort(target)
  else putTarget(draft, target)
}

/**
 * Host, route and credential of a path with or without its query, or of a whole URL; what is known already stays. Without
 * a target there is still the credential in the headers.
 */
export function putTarget(draft: Draft, target: string | null, header = NO_HEADERS): void {
  if (target === null) {
    draft.credential ??= credentialOf(header, null)
    return
  }
  const [, host = null, path = target] = target.startsWith('/') ? [] : (ABSOLUTE.exec(target) ?? [])
  if (host !== null) draft.host ??= withoutPort(host)
  draft.route ??= path.startsWith('/') || path === '*' ? path : `/${path}`
  const query = path.indexOf('?')
  draft.credential ??= credentialOf(header, query < 0 ? null : path.slice(query + 1))
}

/** The value of a `Host` header without its port. */
export function hostOf(value: unknown): string | null {
  const host = textOf(value)
  return host === null ? null : withoutPort(host)
}
