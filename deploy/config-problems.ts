/** What is wrong with a config, or a request: every problem at once, each with the path of its key and what would be right. */
import type { TSchema } from 'typebox'
import Value from 'typebox/value'
import { type ConfigSchema, casesOf, isObject, schemasOfKey, unitsOf } from './config-values.ts'

/** Longest wrong value that a problem quotes. */
const QUOTED_CHARACTERS_MAX = 80
/** Hardly what somebody has made up: a token where its digest is due. */
const LONG_WORD = /[\w+/=-]{20}/
/** Most problems in a message. */
const SHOWN_MAX = 100

/** The config is wrong; `problems` has one line for each thing to mend. */
export class ConfigError extends Error {
  readonly code = 'CONFIG_INVALID'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
    const more = problems.length > SHOWN_MAX ? [`… and ${problems.length - SHOWN_MAX} more`] : []
    super(`the config has ${count}:\n  ${[...problems.slice(0, SHOWN_MAX), ...more].join('\n  ')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

type Schema = ConfigSchema & TSchema

type Path = readonly (string | number)[]

/** What is wrong with a value, or with one that it holds, and where that stands in it. */
export interface ValueProblem {
  path: Path
  message: string
}

/** One line per problem, empty when `config` fulfils `schema`. */
export function configProblems(schema: TSchema, config: unknown): string[] {
  const place = (path: Path) =>
    path.reduce<string>((before, key) => {
      if (typeof key === 'number') return `${before}[${key}]`
      const name = key === '' ? '""' : key
      return before === '' ? name : `${before}.${name}`
    }, '')
  return Array.from(
    valueProblems(schema, config),
    ({ path, message }) => `${place(path) || 'the config'}: ${message}${unitHint(config, path)}`,
  )
}

/**
 * Nothing when `value` fulfils `schema`. `path` is where `value` stands, empty for the whole. What is too long for its
 * schema is one problem, and each further one is looked for when it is asked for: to find all that is wrong with a
 * request would take its role many seconds.
 */
export function* valueProblems(schema: TSchema, value: unknown, path: Path = []): Generator<ValueProblem, void> {
  const cases = casesOf(schema as Schema, value) as Schema[]
  const fitting = cases.filter(found => (found.type === 'integer' ? 'number' : found.type) === typeOf(value))
  const [only] = fitting.length === 1 ? fitting : []
  const excess = only === undefined ? null : excessOf(only, value)
  if (excess !== null) {
    yield { path, message: excess }
    return
  }
  if (Value.Check(schema, value)) return
  if (only === undefined || (only.const ?? only.enum) !== undefined) {
    yield { path, message: wrongCase(cases, value) }
    return
  }
  let isWrongWithin = false
  for (const problem of innerProblems(only, value, path)) {
    isWrongWithin = true
    yield problem
  }
  if (!isWrongWithin) yield { path, message: leafProblem(only, value) }
}

/** Why there is more in it than may be; `null` where there is not. */
function excessOf({ maxItems = Number.POSITIVE_INFINITY, maxProperties }: Schema, value: unknown): string | null {
  if (Array.isArray(value)) return value.length > maxItems ? `must not have more than ${maxItems} items` : null
  if (maxProperties === undefined || !isObject(value) || Object.keys(value).length <= maxProperties) return null
  return `must not have more than ${maxProperties} properties`
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function* innerProblems(schema: Schema, value: unknown, path: Path): Generator<ValueProblem, void> {
  if (Array.isArray(value) && schema.items !== undefined) {
    // A list of secrets is a list of secrets.
    const items = { ...schema.items, ...(schema.writeOnly === true ? { writeOnly: true } : {}) } as Schema
    for (const [index, item] of value.entries()) yield* valueProblems(items, item, [...path, index])
  }
  if (!isObject(value)) return
  for (const key of schema.required ?? [])
    if (!Object.hasOwn(value, key)) yield { path: [...path, key], message: 'is missing' }
  for (const [key, item] of Object.entries(value)) {
    const [found] = schemasOfKey([schema], key)
    const at = [...path, key]
    if (found === undefined) yield { path: at, message: unknownKey(schema, key) }
    else yield* valueProblems(found as Schema, item, at)
  }
}

function unknownKey(schema: Schema, key: string): string {
  const names = Object.keys(schema.properties ?? {})
  if (names.length === 0) return 'is not a name that is allowed here'
  const letters = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
  const near = names.find(
    name => letters(key) !== '' && (letters(name).startsWith(letters(key)) || letters(key).startsWith(letters(name))),
  )
  return near === undefined ? `is unknown; known are ${names.join(', ')}` : `is unknown; did you mean ${near}?`
}

function wrongCase(cases: readonly Schema[], value: unknown): string {
  const wanted = cases.flatMap(found => {
    const kind = found.properties?.kind?.const
    if (kind !== undefined) return [`{ kind: ${kind}, … }`]
    const values = found.const === undefined ? found.enum : [found.const]
    return values?.map(allowed => JSON.stringify(allowed)) ?? [found.type ?? 'something else']
  })
  const choice = wanted.length === 1 ? wanted.join() : `one of ${[...new Set(wanted)].join(', ')}`
  const isSecret = cases.some(found => found.writeOnly === true)
  return `must be ${choice}${isSecret ? '' : `, not ${quote(value)}`}`
}

function leafProblem(schema: Schema, value: unknown): string {
  const [error] = Value.Errors(schema, value)
  const message = error?.message ?? 'is wrong'
  return schema.writeOnly === true || typeof value === 'object' ? message : `${message}, not ${quote(value)}`
}

/** Of a text where a number is due that a config may say with a unit. */
function unitHint(config: unknown, path: Path): string {
  const value = path.reduce<unknown>((around, key) => (around as Record<string | number, unknown>)?.[key], config)
  const units = typeof value === 'string' ? unitsOf(String(path.at(-1))) : []
  return units.length === 0 ? '' : `; units are ${units.join(', ')}`
}

/** What holds other values may hold secrets, an address may have a password before its host, and a long word may be a token. */
function quote(value: unknown): string {
  if (Array.isArray(value)) return '[ … ]'
  if (isObject(value)) return typeof value.kind === 'string' ? `{ kind: ${quote(value.kind)}, … }` : '{ … }'
  if (typeof value === 'number') return String(value)
  const text = JSON.stringify(value).replace(/:\/\/.*@/, '://***@')
  const isShown = text.length <= QUOTED_CHARACTERS_MAX && !LONG_WORD.test(text)
  return isShown ? text : `a text of ${String(value).length} characters`
}
