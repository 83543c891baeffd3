/** Whose bucket it is: the values that a call has for a quota's `per`. */
import type { Dimensions, Quota } from './quota.ts'

/** The values of `per` for one bucket, in that order; unknown is an empty text. */
export type Subject = readonly string[]

/** The bucket's owner within the quota. */
export function subjectOf(quota: Quota, dims: Dimensions): Subject {
  // Half a surrogate pair, which JSON can name and UTF-8 cannot hold, is U+FFFD, as the store keeps it.
  return quota.per.map(({ field }) => (dims[field] ?? '').toWellFormed())
}

/**
 * Equal for equal subjects of one quota only, whatever characters the values contain: all but the last say how long
 * they are.
 */
export function subjectKey(subject: Subject): string {
  let key = ''
  for (let index = 0; index < subject.length - 1; index += 1) key += lengthAndValue(subject[index] ?? '')
  return key + (subject.at(-1) ?? '')
}

/** `subjectKey` of `subjectOf`, without the list between them: it is made for every quota of every decision. */
export function subjectKeyOf(quota: Quota, dims: Dimensions): string {
  const { per } = quota
  const last = per.at(-1)
  if (last === undefined) return ''
  let key = ''
  for (let index = 0; index < per.length - 1; index += 1) {
    const dimension = per[index]
    if (dimension !== undefined) key += lengthAndValue(dims[dimension.field] ?? '')
  }
  key += dims[last.field] ?? ''
  return key.isWellFormed() ? key : subjectKey(subjectOf(quota, dims))
}

/** Equal for calls of one caller only. What is before the first `/` is equal for callers of one tenant, and empty where that is unknown. */
export const callerKey = ({ tenant, consumer }: Pick<Dimensions, 'tenant' | 'consumer'>): string =>
  `${encodeURIComponent(tenant?.toWellFormed() ?? '')}/${consumer ?? ''}`

const lengthAndValue = (value: string) => `${value.length}:${value}`

/** The subject with its dimensions' names, as APIs and tables show it. */
export function subjectMap(quota: Quota, subject: Subject): Record<string, string> {
  return Object.fromEntries(quota.per.map(({ name }, index) => [name, subject[index] ?? '']))
}

/** The subject of which `subjectMap` made these names; unknown, and what is not named, is an empty text. */
export const subjectNamed = (quota: Quota, named: Readonly<Record<string, string>>): string[] =>
  quota.per.map(({ name }) => named[name] ?? '')

/** The key of a subject that is told by names; `null` when the quota tells its subjects apart by others. */
export function keyOf(quota: Quota | undefined, subject: Readonly<Record<string, string>>): string | null {
  if (quota === undefined || Object.keys(subject).length !== quota.per.length) return null
  const values: string[] = []
  for (const { name } of quota.per) {
    const value = Object.hasOwn(subject, name) ? subject[name] : undefined
    if (value === undefined) return null
    values.push(value)
  }
  return subjectKey(values)
}
