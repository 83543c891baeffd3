/**
 * What users write, made into what the schemas say. Everything follows the schema: a key that ends in a unit and is a
 * number there may be written with one (`retentionSeconds: 7d`, `sizeBytesMax: 2GiB`), and what is `writeOnly` there is
 * masked when printed.
 */
import type { TSchema } from 'typebox'
import Value from 'typebox/value'
import { parseYaml } from './config-yaml.ts'

/** JSON, as YAML and the environment give it. */
export type Json = null | boolean | number | string | Json[] | JsonObject
export type JsonObject = { [key: string]: Json }

/** The part of JSON Schema that configs use. */
export interface ConfigSchema {
  type?: string
  const?: unknown
  enum?: readonly unknown[]
  anyOf?: ConfigSchema[]
  properties?: Record<string, ConfigSchema>
  patternProperties?: Record<string, ConfigSchema>
  items?: ConfigSchema
  maxItems?: number
  maxProperties?: number
  required?: string[]
  writeOnly?: boolean
}

const MASK = '***'

const DURATIONS_MS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
}
const SIZES_BYTES: Record<string, number> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}
/** A key's last word (before `Max` or `Min`) is its unit: how its value is written, and in what it is kept. */
const KEY_UNITS: Record<string, { units: Record<string, number>; one: number }> = {
  Ms: { units: DURATIONS_MS, one: 1 },
  Seconds: { units: DURATIONS_MS, one: 1000 },
  Minutes: { units: DURATIONS_MS, one: 60_000 },
  Hours: { units: DURATIONS_MS, one: 3_600_000 },
  Days: { units: DURATIONS_MS, one: 86_400_000 },
  Bytes: { units: SIZES_BYTES, one: 1 },
}
const KEY_UNIT = new RegExp(`(${Object.keys(KEY_UNITS).join('|')})(?:Max|Min)?$`, 'i')
const QUANTITY = /^(\d[\d_]*(?:\.\d+)?)\s*([A-Za-z]*)$/

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A union's cases, unions of unions included; a union that is told apart by `kind` only offers the case that is meant. */
export function casesOf(schema: ConfigSchema, value: unknown): ConfigSchema[] {
  if (schema.anyOf === undefined) return [schema]
  const kind = isObject(value) ? value.kind : undefined
  const meant = schema.anyOf.filter(branch => kind !== undefined && branch.properties?.kind?.const === kind)
  return (meant.length > 0 ? meant : schema.anyOf).flatMap(branch => casesOf(branch, value))
}

/** Every schema that may describe the value of `key`, under one of `schemas`. */
export function schemasOfKey(schemas: readonly ConfigSchema[], key: string): ConfigSchema[] {
  return schemas.flatMap(schema => {
    if (schema.properties !== undefined && Object.hasOwn(schema.properties, key)) return schema.properties[key] ?? []
    const patterns = Object.entries(schema.patternProperties ?? {})
    return patterns.filter(([pattern]) => new RegExp(pattern, 'u').test(key)).map(([, found]) => found)
  })
}

/** Rebuilds `value` bottom-up; `change` sees every value that a schema may describe, with its last key and these schemas. */
function rebuild(
  schemas: readonly ConfigSchema[],
  key: string,
  value: Json,
  change: (value: Json, key: string, schemas: readonly ConfigSchema[]) => Json,
): Json {
  const cases = schemas.flatMap(schema => casesOf(schema, value))
  // What no schema describes may be as deep as its sender likes.
  if (cases.length === 0) return value
  let inner = value
  if (Array.isArray(value)) {
    const items = cases.flatMap(schema => schema.items ?? [])
    inner = value.map(item => rebuild(items, key, item, change))
  } else if (isObject(value)) {
    inner = Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, rebuild(schemasOfKey(cases, name), name, item, change)]),
    )
  }
  return change(inner, key, cases)
}

const isNumeric = (schema: ConfigSchema) => schema.type === 'integer' || schema.type === 'number'

/** Turns `2m`, `10GiB` and `2_000_000` into numbers, where the schema has a number and the key names the unit. */
export function convertUnits(schema: ConfigSchema, value: Json): Json {
  return rebuild([schema], '', value, (item, key, schemas) =>
    typeof item === 'string' && schemas.some(isNumeric) ? toNumber(item, key) : item,
  )
}

/** The text itself when it is no quantity of the key's unit: validation then names it. */
function toNumber(text: string, key: string): number | string {
  const [, digits, unit] = QUANTITY.exec(text.trim()) ?? []
  if (digits === undefined || unit === undefined) return text
  const amount = Number(digits.replaceAll('_', ''))
  if (unit === '') return amount
  const { units, one } = unitOf(key) ?? {}
  const factor = units !== undefined && Object.hasOwn(units, unit) ? units[unit] : undefined
  // Rounded to a thousandth of the key's unit, so that 0.1 + 0.2 of a float does not become a fraction.
  return factor === undefined || one === undefined ? text : Math.round((amount * factor * 1000) / one) / 1000
}

function unitOf(key: string) {
  const keyUnit = KEY_UNIT.exec(key)?.[1]
  if (keyUnit === undefined) return undefined
  return KEY_UNITS[keyUnit.charAt(0).toUpperCase() + keyUnit.slice(1).toLowerCase()]
}

/** The units that a value of this key may be written with; empty where it has none. */
export const unitsOf = (key: string): string[] => Object.keys(unitOf(key)?.units ?? {})

/** Adds the defaults, in a case of a union too that is wrong elsewhere: there, all but the wrong key is then no problem. */
export function fillDefaults(schema: ConfigSchema, value: Json): Json {
  return rebuild([schema], '', value, (item, _key, [only, ...others]) =>
    isObject(item) && only !== undefined && others.length === 0 ? (Value.Default(only as TSchema, item) as Json) : item,
  )
}

/** Replaces whatever the schema calls `writeOnly`. */
export function maskSecrets(schema: ConfigSchema, value: Json): Json {
  return rebuild([schema], '', value, (item, _key, schemas) =>
    item !== null && schemas.some(found => found.writeOnly === true) ? MASK : item,
  )
}

/**
 * A value from the environment or a flag: a YAML scalar or flow (`[a, b]`), but kept as it is where the schema wants
 * text, so that a key that looks like a number stays one.
 */
export function parseScalar(schema: ConfigSchema, path: readonly string[], text: string): Json {
  let schemas: ConfigSchema[] = [schema]
  for (const key of path) {
    schemas = schemasOfKey(
      schemas.flatMap(found => casesOf(found, null)),
      key,
    )
  }
  const cases = schemas.flatMap(found => casesOf(found, null))
  const value = parseYaml(text)
  const wantsText = cases.length > 0 && cases.every(found => found.type === 'string' || found.items?.type === 'string')
  return wantsText && !Array.isArray(value) ? text : value
}

/** `over` wins, objects merge key by key, lists are replaced whole. */
export function merge(under: Json, over: Json): Json {
  if (!isObject(under) || !isObject(over)) return over
  const merged = new Map(Object.entries(under))
  for (const [key, value] of Object.entries(over)) {
    merged.set(key, Object.hasOwn(under, key) ? merge(under[key] ?? null, value) : value)
  }
  // Not by assignment, by which a key `__proto__` would vanish.
  return Object.fromEntries(merged)
}

/** `{a: {b: value}}` of the path `a`, `b`. */
export const nested = (path: readonly string[], value: Json): Json =>
  path.reduceRight<Json>((inner, key) => ({ [key]: inner }), value)
