/** A dialect described in config, for any log that has no decoder of its own. */
import Type, { type Static } from 'typebox'
import { LABEL_NAME_CHARACTERS_MAX, LABELS_MAX, TEXT_CHARACTERS_MAX } from '../call-record.ts'
import { DIALECTS } from './dialects.ts'
import type { Dialect } from './draft.ts'
import { FILE_STEM, type Rule, rulesDialect, type Slot } from './mapping-decode.ts'
import { converterOf, TARGETS, type Target, type TargetKind, UNIT_NAMES } from './mapping-value.ts'

const MAPPINGS_MAX = 1000
const COLUMNS_MAX = 1000
const VALUES_MAX = 10_000
const LABEL_PREFIX = 'labels.'
/** Names under which dialects of their own are known. */
const TAKEN = new Set(DIALECTS.map(dialect => dialect.name))

const text = (description: string) => Type.String({ minLength: 1, maxLength: TEXT_CHARACTERS_MAX, description })
const literal = (description: string) =>
  Type.Union([Type.String({ maxLength: TEXT_CHARACTERS_MAX }), Type.Number()], { description })

const FieldRule = Type.Object(
  {
    from: Type.Union(
      [
        text('Column, or path such as `request.headers.x-id`.'),
        Type.Array(text('One step of a path.'), { minItems: 1 }),
      ],
      {
        description: 'Where the value is: a column, a JSON path with dots, or its steps where names hold dots.',
      },
    ),
    time: Type.Optional(
      text(
        'How an instant is written: iso (UTC where no zone is given), unix_s, unix_ms, unix_us, unix_ns, or a strftime pattern with a zone.',
      ),
    ),
    unit: Type.Optional(
      Type.Enum(UNIT_NAMES, { description: 'Unit of a duration, of bytes or of money; absent is ms, B or micros.' }),
    ),
    default: Type.Optional(literal("Where there is no value, in the field's own unit.")),
    values: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Null()]), {
        maxProperties: VALUES_MAX,
        description: "What single values mean, in the field's own unit; others are converted as usual.",
      }),
    ),
  },
  { additionalProperties: false },
)
type FieldRule = Static<typeof FieldRule>

const fieldMax = Object.keys(TARGETS).length + LABELS_MAX

export const Mapping = Type.Object(
  {
    format: Type.Enum(['csv', 'jsonl'], {
      description: 'csv has columns; jsonl is one JSON object a line.',
    }),
    delimiter: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1,
        pattern: '^[^"\\r\\n]$',
        description: 'Between the fields of a csv line; absent is a comma.',
      }),
    ),
    columns: Type.Optional(
      Type.Array(text('Name of a column.'), {
        minItems: 1,
        maxItems: COLUMNS_MAX,
        description: 'Columns of a csv file without a header line.',
      }),
    ),
    fields: Type.Record(Type.String(), Type.Union([text('A column or path, taken as it is.'), FieldRule]), {
      minProperties: 1,
      maxProperties: fieldMax,
      description: 'Column or path of each field of the record, `labels.NAME`, `credential` or `endedAtMs`.',
    }),
    constants: Type.Optional(
      Type.Record(
        Type.String(),
        literal('The value; `{fileStem}` is the name of the file without folder and endings.'),
        {
          maxProperties: fieldMax,
          description: 'Fields that are the same for every call.',
        },
      ),
    ),
  },
  { additionalProperties: false },
)
export type Mapping = Static<typeof Mapping>

/** The config section `mappings`, by name. */
export const MappingOptions = Type.Record(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,63}$' }), Mapping, {
  maxProperties: MAPPINGS_MAX,
  default: {},
  description: 'Dialects described here: how the columns or paths of a log become fields of a call record.',
})
export type MappingOptions = Static<typeof MappingOptions>

/** A mapping that makes no sense, with everything that is wrong about it. */
export class MappingError extends Error {
  readonly code = 'MAPPING_INVALID'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'MappingError'
    this.problems = problems
  }
}

/** Every dialect there is by name: the built-in ones, then the mappings. Throws `MappingError`. */
export function dialectsOf(mappings: MappingOptions): Map<string, Dialect> {
  const dialects = new Map(DIALECTS.map(dialect => [dialect.name, dialect]))
  for (const [name, mapping] of Object.entries(mappings)) dialects.set(name, mappingDialect(name, mapping))
  return dialects
}

/** The dialect of one mapping. Throws `MappingError`. */
export function mappingDialect(name: string, mapping: Mapping): Dialect {
  const problems: string[] = []
  const problem = (path: string, message: string) => problems.push(`mappings.${name}${path}: ${message}`)
  if (TAKEN.has(name)) problem('', 'this is the name of a built-in dialect')
  if (mapping.format === 'jsonl' && (mapping.delimiter ?? mapping.columns) !== undefined) {
    problem('', 'delimiter and columns are for csv')
  }
  const rules = Object.entries(mapping.fields).flatMap(([field, rule]) => {
    const compiled = compileRule(field, typeof rule === 'string' ? { from: rule } : rule)
    if (typeof compiled === 'object') return [compiled]
    problem(`.fields.${field}`, compiled)
    return []
  })
  const constants = Object.entries(mapping.constants ?? {}).flatMap(([field, value]) => {
    const slot = slotOf(field)
    const wrong = slot === null ? noSuchField : constantProblem(field, value, slot, mapping)
    if (slot !== null && wrong === null) return [{ slot, value }]
    problem(`.constants.${field}`, wrong ?? noSuchField)
    return []
  })
  if (!['startedAtMs', 'endedAtMs'].some(field => field in mapping.fields)) {
    problem('.fields', 'startedAtMs (or endedAtMs) is missing')
  }
  if (problems.length > 0) throw new MappingError(problems)
  const framing =
    mapping.format === 'csv'
      ? ({ kind: 'csv', delimiter: mapping.delimiter ?? ',', columns: mapping.columns ?? null } as const)
      : ({ kind: 'json' } as const)
  return rulesDialect({ name, framing, definition: JSON.stringify(mapping) }, rules, constants)
}

function slotOf(field: string): Slot | null {
  if (Object.hasOwn(TARGETS, field)) return { kind: 'field', target: field as Target }
  const name = field.startsWith(LABEL_PREFIX) ? field.slice(LABEL_PREFIX.length) : ''
  return name === '' || name.length > LABEL_NAME_CHARACTERS_MAX ? null : { kind: 'label', name }
}
const kindOf = (slot: Slot): TargetKind => (slot.kind === 'label' ? 'text' : TARGETS[slot.target])
const isText = (slot: Slot) => ['text', 'secret'].includes(kindOf(slot))
const noSuchField = `is none of ${Object.keys(TARGETS).join(', ')}, ${LABEL_PREFIX}NAME`

/** Answers text for a rule that makes no sense. */
function compileRule(field: string, rule: FieldRule): Rule | string {
  const slot = slotOf(field)
  if (slot === null) return noSuchField
  const converter = converterOf(kindOf(slot), { time: rule.time, unit: rule.unit })
  if (typeof converter === 'string') return converter
  if (rule.default !== undefined && (typeof rule.default === 'string') !== isText(slot)) {
    return `the default is ${isText(slot) ? 'text' : 'a number'}`
  }
  return {
    field,
    slot,
    column: typeof rule.from === 'string' ? rule.from : rule.from.join('.'),
    path: typeof rule.from === 'string' ? rule.from.replace(/^\$\./, '').split('.') : rule.from,
    ...converter,
    fallback: rule.default,
    values: rule.values === undefined ? null : new Map(Object.entries(rule.values)),
  }
}

function constantProblem(field: string, value: string | number, slot: Slot, mapping: Mapping): string | null {
  if (field in mapping.fields) return 'is one of `fields` too'
  if ((typeof value === 'string') !== isText(slot)) return isText(slot) ? 'is text' : 'is a number'
  const placeholder = typeof value === 'string' ? value.replaceAll(FILE_STEM, '').match(/\{.*?\}/)?.[0] : undefined
  return placeholder === undefined ? null : `there is no ${placeholder}, only ${FILE_STEM}`
}
