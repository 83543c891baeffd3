/** Where in an input secrets and prompts stand: what somebody who tries a log is told that nothing is kept of. */
import { looksLikeSecret } from '../identity.ts'
import { isPromptName, isSecretName, redact } from './redact.ts'

const DEPTH_MAX = 32
/** How many characters a name may have that is worth telling. */
const NAME_CHARACTERS_MAX = 64
const PARAMETER = /(?:[?&;]|%3f|%26)([\w.-]{1,64})(?:=|%3d)[^\s"&]/gi

/** Each place once: the path of a JSON field, `?name=` of a query, or `(in the text)`. Never a value. */
export function dropsIn(input: string): string[] {
  const places = new Set<string>()
  const document = jsonIn(input)
  if (document !== undefined) walk(document, '', places, 0)
  else addParameters(input, places)
  if (places.size === 0 && redact(input, [], () => '') !== input) places.add('(in the text)')
  return [...places]
}

/** The JSON of a line, behind whatever prefix it has; `undefined` where there is none. */
function jsonIn(input: string): unknown {
  const begin = input.indexOf('{')
  if (begin < 0) return undefined
  try {
    return JSON.parse(input.slice(begin))
  } catch {
    return undefined
  }
}

function walk(value: unknown, path: string, places: Set<string>, depth: number): void {
  if (typeof value === 'string') {
    if (looksLikeSecret(value)) places.add(path)
    else addParameters(value, places)
    return
  }
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return
  for (const [name, inner] of Object.entries(value)) {
    const step = Array.isArray(value) ? '[]' : name.slice(0, NAME_CHARACTERS_MAX)
    const innerPath = path === '' ? step : `${path}${step === '[]' ? '' : '.'}${step}`
    if (isSecretName(name) && hasText(inner)) places.add(innerPath)
    else if (isPromptName(name) && hasText(inner)) places.add(`${innerPath} (prompt or answer)`)
    else walk(inner, innerPath, places, depth + 1)
  }
}

const hasText = (value: unknown) =>
  (typeof value === 'string' && value !== '' && value !== '-') || (typeof value === 'object' && value !== null)

function addParameters(text: string, places: Set<string>): void {
  for (const [, name = ''] of text.matchAll(PARAMETER)) {
    if (isSecretName(name) || /^(?:key|sig)$/i.test(name)) places.add(`?${name}=`)
  }
}
