/** How the compiled rules of a mapping make drafts: one pass over the rules, the credential first. */
import {
  type Decode,
  type DecodeContext,
  type Dialect,
  DialectError,
  type Draft,
  emptyDraft,
  type Refusal,
  refusal,
} from './draft.ts'
import type { Convert, Target } from './mapping-value.ts'
import { shown } from './redact.ts'

/** In a constant: the name of the file. */
export const FILE_STEM = '{fileStem}'

/** Where a value goes. */
export type Slot = { kind: 'field'; target: Target } | { kind: 'label'; name: string }

/** One field of a mapping, ready to run. */
export interface Rule {
  field: string
  slot: Slot
  /** The column, as its header names it. */
  column: string
  /** The steps of the path. */
  path: readonly string[]
  convert: Convert
  /** What `convert` takes, for messages. */
  expected: string
  /** Where there is no value; `undefined`: it stays unknown. */
  fallback: string | number | undefined
  values: ReadonlyMap<string, string | number | null> | null
}

export interface Constant {
  slot: Slot
  value: string | number
}

type Find = (raw: unknown) => unknown

const isCredential = ({ slot }: { slot: Slot }) => slot.kind === 'field' && slot.target === 'credential'

/** The dialect of compiled rules. */
export function rulesDialect(
  identity: Pick<Dialect, 'name' | 'framing' | 'definition'>,
  rules: readonly Rule[],
  constants: readonly Constant[],
): Dialect {
  // A refusal by a later rule must already know what not to keep.
  const ordered = [...rules.filter(isCredential), ...rules.filter(rule => !isCredential(rule))]
  const hasUnnamedSecrets = rules.some(isCredential)
  return {
    ...identity,
    hasUnnamedSecrets,
    open(context) {
      const finders = ordered.map(rule => ({ rule, find: finderOf(rule, context, hasUnnamedSecrets) }))
      const template = templateOf(constants, context)
      const problemOf = context.columns === null ? objectProblem : rowProblem(context.columns.length)
      return raw => {
        const problem = problemOf(raw)
        if (problem === null) return draftOf(raw, template, finders)
        return { ...refusal('unreadable', problem), isInputSecret: hasUnnamedSecrets }
      }
    },
  }
}

const objectProblem = (raw: unknown) =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw) ? null : 'A call is a JSON object.'

const rowProblem = (columns: number) => (raw: unknown) => {
  const fields = Array.isArray(raw) ? raw.length : 0
  return fields === columns ? null : `The line has ${fields} fields, the header ${columns}.`
}

function finderOf(rule: Rule, { columns }: DecodeContext, hasSecrets: boolean): Find {
  const { column, path } = rule
  if (columns === null) return raw => path.reduce<unknown>(stepInto, raw)
  const index = columns.indexOf(column)
  if (index < 0) {
    // Where the header is missing, its place is taken by a call, and that may hold a credential.
    const others = hasSecrets ? '' : `, only ${shown(columns.join(', '))}`
    throw new DialectError('COLUMN_MISSING', `There is no column ${shown(column)} (${rule.field})${others}.`)
  }
  return raw => (Array.isArray(raw) ? raw[index] : undefined)
}

const stepInto = (value: unknown, step: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, step)
    ? (value as Record<string, unknown>)[step]
    : undefined

/** Draft and labels with what is the same for every call of a file. */
function templateOf(constants: readonly Constant[], { fileStem }: DecodeContext): { draft: Draft; labels: object } {
  const draft = emptyDraft()
  const labels: Record<string, unknown> = {}
  for (const { slot, value } of constants) put(slot, valueIn(value, fileStem), draft, labels)
  return { draft, labels }
}

function valueIn(value: string | number, fileStem: string | null): string | number {
  if (typeof value === 'number' || !value.includes(FILE_STEM)) return value
  if (fileStem === null) {
    throw new DialectError('FILE_NAME_NEEDED', `The mapping uses ${FILE_STEM}: name the file with ?file=NAME.`)
  }
  return value.replaceAll(FILE_STEM, () => fileStem)
}

function put(slot: Slot, value: unknown, draft: Draft, labels: Record<string, unknown>): void {
  if (slot.kind === 'field') draft[slot.target] = value
  else if (value !== null) labels[slot.name] = value
}

function draftOf(
  raw: unknown,
  template: { draft: Draft; labels: object },
  finders: readonly { rule: Rule; find: Find }[],
): ReturnType<Decode> {
  const draft = { ...template.draft }
  const labels: Record<string, unknown> = { ...template.labels }
  for (const { rule, find } of finders) {
    const found = find(raw)
    const value = fieldValue(rule, found)
    if (value === undefined) return unconvertible(rule, found, draft)
    put(rule.slot, value, draft, labels)
  }
  draft.labels = labels
  return draft
}

/** `null` where there is no value, `undefined` for one that cannot be converted. */
function fieldValue({ values, fallback, convert }: Rule, found: unknown): unknown {
  if (isMissing(found)) return fallback ?? null
  const special = typeof found === 'object' ? undefined : values?.get(String(found))
  return special === undefined ? convert(found) : special
}

/** What gateways write for nothing at all. */
const isMissing = (found: unknown) => found === undefined || found === null || found === '' || found === '-'

function unconvertible(rule: Rule, found: unknown, draft: Draft): Refusal {
  const secrets = typeof draft.credential === 'string' ? [draft.credential] : []
  const value = isCredential(rule) ? '(credential)' : shown(found)
  const message = `${rule.field} (${rule.column}): ${value} is not ${rule.expected}.`
  return { ...refusal('invalid_field', message, secrets), isInputSecret: isCredential(rule) }
}
