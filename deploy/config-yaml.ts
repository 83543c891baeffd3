/**
 * YAML as users write it, to plain JSON: the config file, the environment and flags. What is wrong is told by its place and
 * kind, never by its text, which may be a secret.
 */
import { type Document, isAlias, isMap, isNode, LineCounter, parseDocument, visit, type YAMLMap } from 'yaml'
import type { Json } from './config-values.ts'

/** Aliases repeat what they stand for; so many values, and so deep, no config has. */
const VALUES_MAX = 1_000_000
const NESTING_MAX = 100

const INDENT = 'keys of one level begin in the same column, and further right than what they belong to'
/** What somebody has probably done, by what the parser found. */
const HINTS: Readonly<Record<string, string>> = {
  BAD_INDENT: `${INDENT}; or a bracket is not closed`,
  BAD_SCALAR_START: 'put a text that begins with such a character into quotes',
  BLOCK_AS_IMPLICIT_KEY: `${INDENT}; a text with a colon and a space needs quotes`,
  MISSING_CHAR: `${INDENT}; each entry of a list begins with a dash; or a quote is not closed`,
  MULTILINE_IMPLICIT_KEY: `a colon and a space are missing behind a key; or ${INDENT}`,
  TAB_AS_INDENT: 'indent with spaces',
  UNEXPECTED_TOKEN: `a list and keys are mixed at one place; or ${INDENT}`,
}

/** Text that is no YAML, or none that makes sense; `problems` has one line for each thing to mend. */
export class YamlError extends Error {
  readonly code = 'YAML_INVALID'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'YamlError'
    this.problems = problems
  }
}

/** The one document of `text`, `null` where it is empty. Throws `YamlError`. */
export function parseYaml(text: string): Json {
  const lines = new LineCounter()
  // The parser compares each key with each other one, which takes minutes for a long list of them.
  const document = parseDocument(text, {
    lineCounter: lines,
    ...{ prettyErrors: false, logLevel: 'error', uniqueKeys: false },
  })
  // Its messages quote what they are about. A tag that means nothing is a mere warning to it.
  const wrong = [...document.errors, ...document.warnings].map(({ code, pos: [offset] }) => ({ offset, problem: code }))
  const problems = [...wrong, ...wrongNames(document)].map(({ offset, problem }) => {
    const { line, col } = lines.linePos(offset)
    const hint = HINTS[problem]
    return `line ${line}, column ${col}: ${problem.toLowerCase().replaceAll('_', ' ')}${hint ? ` (${hint})` : ''}`
  })
  if (problems.length > 0) throw new YamlError(problems)
  const value: Json = document.toJS({ maxAliasCount: -1 }) ?? null
  countValues(value, new Set(), 0)
  return value
}

/** Keys that are there already, and aliases that stand for nothing. */
function wrongNames(document: Document.Parsed): { offset: number; problem: string }[] {
  const wrong: { offset: number; problem: string }[] = []
  const anchors = new Set<string>()
  visit(document, {
    Node(_, node) {
      const offset = node.range?.[0] ?? 0
      if (isAlias(node)) {
        if (!anchors.has(node.source)) wrong.push({ offset, problem: 'an alias without its anchor before it' })
        return
      }
      if (node.anchor !== undefined) anchors.add(node.anchor)
      if (isMap(node)) for (const repeated of repeatedKeys(node)) wrong.push(repeated)
    },
  })
  return wrong
}

function repeatedKeys(map: YAMLMap): { offset: number; problem: string }[] {
  const names = new Set<string>()
  return map.items.flatMap(({ key }) => {
    const name = String(key)
    if (!names.has(name)) {
      names.add(name)
      return []
    }
    return [{ offset: (isNode(key) ? key.range?.[0] : null) ?? 0, problem: 'duplicate key' }]
  })
}

/** Answers how many values there are. Throws `YamlError` where they are too many, too deep, or within themselves. */
function countValues(value: Json, around: Set<Json>, before: number): number {
  let count = before + 1
  if (count > VALUES_MAX) throw new YamlError([`aliases make more than ${VALUES_MAX} values of it`])
  if (typeof value !== 'object' || value === null) return count
  if (around.has(value)) throw new YamlError(['an alias within what it stands for'])
  if (around.size === NESTING_MAX) throw new YamlError([`is nested deeper than ${NESTING_MAX} levels`])
  around.add(value)
  for (const inner of Object.values(value)) count = countValues(inner, around, count)
  around.delete(value)
  return count
}
