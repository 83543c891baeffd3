/** The header fields of a request, as far as HTTP/2 lets them be: RFC 9113 section 8.2. */

/** By lower-case name; those of one name are joined. */
export type RequestHeaders = ReadonlyMap<string, string>

/** What HTTP/1 says of a connection has no place here. */
const OF_CONNECTIONS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])
const PSEUDO = new Set([':method', ':scheme', ':path', ':authority'])
const UPPER_CASE = /[A-Z]/

/** `null` when the fields make no request. */
export function toRequestHeaders(
  fields: readonly { readonly name: string; readonly value: string }[],
): RequestHeaders | null {
  const headers = new Map<string, string>()
  let isPseudoOver = false
  for (const { name, value } of fields) {
    const known = headers.get(name)
    if (name.startsWith(':')) {
      if (isPseudoOver || known !== undefined || !PSEUDO.has(name)) return null
    } else {
      isPseudoOver = true
      if (name === '' || UPPER_CASE.test(name) || OF_CONNECTIONS.has(name)) return null
      if (name === 'te' && value !== 'trailers') return null
    }
    headers.set(name, known === undefined ? value : `${known}, ${value}`)
  }
  return headers.has(':method') && headers.has(':path') && headers.has(':scheme') ? headers : null
}
