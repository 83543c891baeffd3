/**
 * What descriptors say of a call. All descriptors of a request are facts about one call, so a quota that two of them
 * concern counts it once; where two say different things of one dimension, the first one holds.
 */
import Type, { type Static } from 'typebox'
import { TEXT_CHARACTERS_MAX } from '../../../collector/call-record.ts'
import { DIMENSIONS, type DimensionField, type Dimensions, dimensionField } from '../../policy/quota.ts'
import { UNITS, type Unit } from '../../usage/units.ts'
import { parseSources, type Source, type WhoOptions } from '../caller.ts'
import { COST_MAX, noDimensions } from '../http.ts'
import type { Descriptor, RateLimitRequest } from './rls-messages.ts'

const KEYS_MAX = 256

const EntryOptions = Type.Object(
  {
    dimension: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: 'What its value is: a dimension or configured label, `client_ip`, or `request_id`.',
      }),
    ),
    unit: Type.Optional(Type.Enum(UNITS, { description: 'What the hits of its descriptor count; else `requests`.' })),
    record: Type.Boolean({
      default: false,
      description: 'The hits of its descriptor have been spent already: they count in any case, and nothing is denied.',
    }),
  },
  { additionalProperties: false },
)
export const DescriptorOptions = Type.Record(Type.String({ minLength: 1, maxLength: 256 }), EntryOptions, {
  default: {},
  maxProperties: KEYS_MAX,
  description:
    "What entries of descriptors mean, by their keys. Keys that are a dimension's name, `path`, `remote_address` and " +
    '`destination_cluster` are known; who calls is found as `callers.rateLimitService` says.',
})
export type DescriptorOptions = Static<typeof DescriptorOptions>

/** What Envoy calls its own entries. */
const KNOWN_KEYS: Readonly<Record<string, string>> = {
  path: 'route',
  remote_address: 'client_ip',
  destination_cluster: 'service',
}

/** Who calls is found by `callers`. */
type Target = Exclude<DimensionField, 'tenant' | 'consumer'> | 'clientIp' | 'requestId'

interface Meaning {
  target: Target | null
  /** What the key says something of, as bits of `fieldBit`. */
  fields: number
  unit: Unit | null
  isRecord: boolean
}

/** Why the options make no sense with the labels that are configured. */
export function descriptorProblems(options: DescriptorOptions, labelColumns: readonly string[]): string[] {
  return Object.entries(options).flatMap(([key, { dimension }]) =>
    dimension === undefined || targetOf(dimension, labelColumns) !== null
      ? []
      : `limiter.grpc.descriptors.${key}.dimension: is not a dimension that descriptors can say, nor a configured label: ${dimension}`,
  )
}

function targetOf(name: string, labelColumns: readonly string[]): Target | null {
  if (name === 'client_ip') return 'clientIp'
  if (name === 'request_id') return 'requestId'
  const field = dimensionField(name, labelColumns)
  return field === 'tenant' || field === 'consumer' ? null : field
}

/** One descriptor, as far as decisions go. */
export interface Statement {
  /** What it says something of, as bits of `fieldBit`. */
  readonly fields: number
  /** Of the hits. */
  readonly unit: Unit
  /** Negative gives back; 0 is a look without spending. */
  readonly hits: number
  /** The hits count in any case. */
  readonly isRecord: boolean
  /** Told at the end of the call, also where it tells nothing. */
  readonly isAtEnd: boolean
}

/** How a method means its descriptors. */
export interface Meant {
  /** Of hits, where no entry says it. */
  readonly unit: Unit
  /** What they are, whatever hits and marks say. */
  readonly kind: 'as_told' | 'look' | 'record'
}

export interface Statements {
  /** One for each descriptor, in their order. */
  readonly each: readonly Statement[]
  /** What all of them say something of. */
  readonly stated: number
  /** Without tenant and consumer, which `find` leads to. */
  readonly dims: Dimensions
  readonly clientIp: string | null
  readonly requestId: string | null
  readonly find: (source: Source) => string | null
}

const FIELDS = [...DIMENSIONS, 'label1', 'label2'] as const
export const fieldBit = (field: DimensionField): number => 1 << FIELDS.indexOf(field)

export interface DescriptorReaderDeps {
  options: DescriptorOptions
  who: WhoOptions
  labelColumns: readonly string[]
  /** The route of a path, as in call records: ids replaced. */
  routeOf: (path: string) => string
}

type ReadDescriptors = (request: Pick<RateLimitRequest, 'descriptors' | 'hitsAddend'>, meant: Meant) => Statements

export function createDescriptorReader({ options, who, labelColumns, routeOf }: DescriptorReaderDeps): ReadDescriptors {
  const meanings = meaningsOf(options, who, labelColumns)
  return ({ descriptors, hitsAddend }, meant) => {
    const call: Facts = { dims: noDimensions(), clientIp: null, requestId: null }
    const each: Statement[] = []
    let stated = 0
    for (const { entries, hits, isNegative } of descriptors) {
      let fields = 0
      let unit: Unit | null = null
      let isMarked = false
      for (const { key, value } of entries) {
        const meaning = meanings.get(key)
        if (meaning === undefined) continue
        fields |= meaning.fields
        unit ??= meaning.unit
        isMarked ||= meaning.isRecord
        if (meaning.target !== null && value !== '') learn(call, meaning.target, value, routeOf)
      }
      stated |= fields
      each.push(toStatement(fields, unit ?? meant.unit, { hits: hits ?? hitsAddend, isNegative, isMarked }, meant.kind))
    }
    return { ...call, each, stated, find: ({ name }) => valueUnder(descriptors, name) }
  }
}

function toStatement(
  fields: number,
  unit: Unit,
  told: { hits: number; isNegative: boolean; isMarked: boolean },
  kind: Meant['kind'],
): Statement {
  const amount = kind === 'look' ? 0 : Math.min(COST_MAX, told.hits)
  const isAtEnd = kind === 'record' || (told.isMarked && kind === 'as_told')
  const isRecord = kind === 'record' || ((isAtEnd || told.isNegative) && amount > 0)
  return { fields, unit, hits: told.isNegative ? -amount : amount, isRecord, isAtEnd }
}

/** What is known of the call so far. */
interface Facts {
  dims: Dimensions
  clientIp: string | null
  requestId: string | null
}

function learn(call: Facts, target: Target, value: string, routeOf: (path: string) => string): void {
  const text = (target === 'route' ? routeOf(value) : value).slice(0, TEXT_CHARACTERS_MAX)
  if (target === 'clientIp') call.clientIp ??= text
  else if (target === 'requestId') call.requestId ??= text
  else call.dims[target] ??= text
}

/** The first value that there is for a key. */
function valueUnder(descriptors: readonly Descriptor[], name: string): string | null {
  for (const { entries } of descriptors) {
    for (const { key, value } of entries) if (key === name && value !== '') return value
  }
  return null
}

function meaningsOf(
  options: DescriptorOptions,
  who: WhoOptions,
  labelColumns: readonly string[],
): ReadonlyMap<string, Meaning> {
  const meanings = new Map<string, Meaning>()
  const add = (key: string, meaning: Partial<Meaning>) => {
    const known = meanings.get(key) ?? { target: null, fields: 0, unit: null, isRecord: false }
    meanings.set(key, { ...known, ...meaning, fields: known.fields | (meaning.fields ?? 0) })
  }
  const aim = (key: string, dimension: string) => {
    const target = targetOf(dimension, labelColumns)
    const isField = target !== null && target !== 'clientIp' && target !== 'requestId'
    if (target !== null) add(key, { target, fields: isField ? fieldBit(target) : 0 })
  }
  for (const { name } of parseSources(who.tenant)) add(name, { fields: fieldBit('tenant') })
  for (const { name } of parseSources([...who.consumer, ...who.credential])) add(name, { fields: fieldBit('consumer') })
  for (const key of [...DIMENSIONS, ...labelColumns, ...Object.keys(KNOWN_KEYS)]) {
    if (!Object.hasOwn(options, key)) aim(key, KNOWN_KEYS[key] ?? key)
  }
  for (const [key, { dimension, unit = null, record }] of Object.entries(options)) {
    add(key, { unit, isRecord: record })
    if (dimension !== undefined) aim(key, dimension)
  }
  return meanings
}
